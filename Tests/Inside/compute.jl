# SPDX-License-Identifier: Apache-2.0
# Julia: its compiler, linear algebra, tasks, threads, children, and Distributed's workers over the loopback.
using Distributed, LinearAlgebra, Random

Random.seed!(1)
a = randn(300, 300)
@assert norm(a * inv(a) - I) < 1e-6
@assert fetch(@async sum(1:100)) == 5050
@assert Threads.nthreads() == 2
total = Threads.Atomic{Int}(0)
Threads.@threads for n in 1:1000
    Threads.atomic_add!(total, n)
end
@assert total[] == 500500
@assert read(`echo out`, String) == "out\n"
fast(n) = (s = 0; for i in 1:n; s = (s + i * i) % 1000003; end; s)
@assert fast(10^7) > 0
write("file", "text"); @assert read("file", String) == "text"
addprocs(2)
@everywhere square(n) = n^2
@assert pmap(square, 1:10) == (1:10) .^ 2
rmprocs(workers())
println("DONE")
