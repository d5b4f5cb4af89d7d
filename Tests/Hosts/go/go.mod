module lauter.example/guest

go 1.19
