# SPDX-License-Identifier: Apache-2.0
# A guest of Lauter's in Julia: sandboxed workers, driven from Julia's own event loop by FDWatcher, beside `run`, signals,
# timers, tasks and Distributed's own workers. It prints what it saw as JSON; test_julia.py judges it.
#
#     julia guest.jl PYTHON TOKEN
using Distributed

include("lauter.jl")
using .Lauter

const QUIET, WORKERS, CALLS, CHILDREN, SIGNALS = 10, 3, 200, 60, 100
const SIGHUP, SIGINT, SIGCHLD = 1, 2, 17

json(value::Union{Bool,Integer,AbstractFloat}) = string(value)
json(value::AbstractString) = "\"" * escape_string(value) * "\""
json(values::AbstractVector) = "[" * join(json.(values), ",") * "]"
json(facts::AbstractDict) = "{" * join(("\"$name\":$(json(value))" for (name, value) in facts), ",") * "}"

milliseconds(since) = (time_ns() - since) / 1e6

function until(condition)
    finish = time() + 30
    while !condition()
        time() < finish || error("a condition never held")
        sleep(0.001)
    end
end

# Signal handlers of the program's own, in the event loop that Julia itself handles SIGCHLD in.
const signals_seen = Dict{Cint,Int}(SIGHUP => 0, SIGCHLD => 0)
on_signal(::Ptr{Cvoid}, number::Cint) = (signals_seen[number] += 1; nothing)
function handle(number)
    handle = Libc.calloc(1, 1024) # Julia frees it, with all handles, at its end
    ccall(:uv_signal_init, Cint, (Ptr{Cvoid}, Ptr{Cvoid}), Base.eventloop(), handle)
    ccall(:uv_signal_start, Cint, (Ptr{Cvoid}, Ptr{Cvoid}, Cint), handle,
          @cfunction(on_signal, Cvoid, (Ptr{Cvoid}, Cint)), number)
end

"""The children that the kernel counts as this process's."""
function own_children()
    found = String[]
    for task in readdir("/proc/self/task")
        path = "/proc/self/task/$task/children"
        isfile(path) && append!(found, split(read(path, String)))
    end
    return found
end

"""Start and end workers while the program has no child: neither a child nor a SIGCHLD may show up."""
function quiet(host, python)
    strangers = 0
    for worker in [Worker(host, python) for _ in 1:QUIET]
        execute(worker, "6 * 7")
        strangers += length(own_children())
        kill_worker(worker)
        take!(worker.ended)
        strangers += length(own_children())
    end
    before = signals_seen[SIGCHLD]
    child = open(`cat`, "r+") # until its input ends
    seen = length(own_children())
    close(child.in)
    wait(child)
    until(() -> signals_seen[SIGCHLD] > 0)
    return Dict("workers" => QUIET, "strangers" => strangers, "sigchld" => before, "children_seen" => seen,
                "sigchld_seen" => signals_seen[SIGCHLD])
end

function run_calls(worker)
    started = [start(worker, "print($i); $i * 3") for i in 0:CALLS-1]
    return count(take!(call.done).text == string(3i) for (i, call) in zip(0:CALLS-1, started))
end

function run_children()
    right = 0
    for i in 0:CHILDREN-1
        child = open(ignorestatus(`sh -c "echo $i; exit $(i % 8)"`))
        output = read(child.out, String)
        wait(child)
        right += child.exitcode == i % 8 && output == "$i\n"
    end
    return right
end

function run_signals()
    for sent in 1:SIGNALS
        ccall(:kill, Cint, (Cint, Cint), getpid(), SIGHUP)
        until(() -> signals_seen[SIGHUP] >= sent)
    end
    return signals_seen[SIGHUP]
end

"""How late the loop serves a timer, until it is told to stop."""
function ticks(stop)
    late = Float64[]
    while !stop[]
        begun = time_ns()
        sleep(0.005)
        push!(late, milliseconds(begun) - 5)
    end
    sort!(late)
    return Dict("count" => length(late), "median_ms" => late[end÷2+1], "longest_ms" => late[end])
end

"""Ctrl-C while Julia sleeps in C: the wait returns, Julia raises, and the call that was waited for goes on."""
function ctrl_c(python)
    host = Host(watched=false)
    call = start(Worker(host, python), "while True: pass")
    # From outside, and again and again: the first may come before Julia sleeps.
    teller = run(`sh -c "while sleep 0.2; do kill -INT $(getpid()); done"`, wait=false)
    raised = try
        finished(call)
    catch error
        string(typeof(error))
    end
    kill(teller)
    wait(teller)
    Lauter.interrupt(call)
    name = finished(call)
    close(host)
    return Dict("raised" => raised, "call" => name)
end

function main(python, token)
    ccall(:jl_exit_on_sigint, Cvoid, (Cint,), 0)
    handle(SIGHUP)
    handle(SIGCHLD)
    host = Host()
    found = Dict{String,Any}("guest" => "Julia $VERSION", "quiet" => quiet(host, python))

    found["refused"] = try
        Worker(host, "/nowhere/python3")
    catch refusal
        sprint(showerror, refusal)
    end

    # The storm: calls on all workers, with children, signals, timers, the collector and Distributed going on.
    workers = [Worker(host, python) for _ in 1:WORKERS]
    execute(workers[1], "import subprocess; p = subprocess.Popen(['sh', '-c', 'sleep 300; : $token'])")
    own = addprocs(2)
    stopping = Ref(false)
    ticking = @async ticks(stopping)
    calls = [@async(run_calls(worker)) for worker in workers]
    children = @async run_children()
    signals = @async run_signals()
    squares = @async pmap(x -> x^2, 1:100)
    collector = @async for _ in 1:10
        GC.gc()
        sleep(0.01)
    end
    merge!(found, Dict("calls" => WORKERS * CALLS, "calls_right" => sum(fetch.(calls)), "children" => CHILDREN,
                       "children_right" => fetch(children), "signals" => SIGNALS, "signals_handled" => fetch(signals)))
    wait(collector)
    distributed = fetch(squares) == [x^2 for x in 1:100]
    stopping[] = true
    found["tick"] = fetch(ticking)
    lines = join("$i\n" for i in 0:CALLS-1)
    found["printed_in_order"] = all(host.printed[worker.cookie] == lines for worker in workers)

    execute(workers[2], "class Big:\n  def _repr_html_(self): return 'x' * 8_000_000\ndisplay(Big())")
    found["shown"] = host.shown
    found["input"] = execute(workers[2], "'hello ' + input('who? ')")

    endless = start(workers[2], "print('on')\nwhile True: pass")
    until(() -> endswith(host.printed[workers[2].cookie], "on\n"))
    begun = time_ns()
    Lauter.interrupt(endless)
    name = take!(endless.done).name
    found["interrupt"] = Dict("name" => name, "ms" => milliseconds(begun), "after" => execute(workers[2], "6 * 7"))

    lost = start(workers[1], "while True: pass")
    begun = time_ns()
    kill_worker(workers[1])
    event = take!(lost.done)
    found["killed"] = Dict("status" => event.status, "ms" => milliseconds(begun), "why" => event.why)
    stop.(workers[2:end])
    found["ends"] = [take!(worker.ended).status for worker in workers]
    close(host)
    rmprocs(own)
    found["beside"] = Dict("distributed" => distributed, "ctrl_c" => ctrl_c(python),
                           "layout" => [fieldoffset(Lauter.RawEvent, i) for i in 1:fieldcount(Lauter.RawEvent)],
                           "report_layout" => [fieldoffset(Lauter.Report, i) for i in 1:fieldcount(Lauter.Report)])
    println(json(found))
end

main(ARGS...)
