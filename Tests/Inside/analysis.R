# SPDX-License-Identifier: Apache-2.0
# R: a model, a picture, processes in parallel, files, a connection on the loopback.
fit <- lm(dist ~ speed, cars)
stopifnot(abs(coef(fit)[["speed"]] - 3.932409) < 1e-5)
m <- matrix(rnorm(250000), 500); stopifnot(max(abs(m %*% solve(m) - diag(500))) < 1e-6)
pdf("cars.pdf"); plot(cars); abline(fit); invisible(dev.off()); stopifnot(file.size("cars.pdf") > 1000)
svgOk <- capabilities("cairo"); if (svgOk) { png("cars.png", type = "cairo"); plot(cars); invisible(dev.off()); stopifnot(file.size("cars.png") > 500) }
stopifnot(identical(unlist(parallel::mclapply(1:8, function(n) n^2, mc.cores = 2)), (1:8)^2))
cluster <- parallel::makePSOCKcluster(2); stopifnot(identical(unlist(parallel::parLapply(cluster, 1:4, sqrt)), sqrt(1:4))); parallel::stopCluster(cluster)
saveRDS(iris, "iris.rds"); stopifnot(identical(readRDS("iris.rds"), iris))
stopifnot(system("exit 3") == 3, identical(system("echo out", intern = TRUE), "out"))
stopifnot(inherits(tryCatch(stop("x"), error = identity), "error"), Sys.time() > as.POSIXct("2000-01-01"))
cat("DONE\n")
