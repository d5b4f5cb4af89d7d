# SPDX-License-Identifier: Apache-2.0
"""Lauter for Julia: calls and ends of workers as tasks wait for them, the host's descriptor in Julia's own event loop."""
module Lauter

using FileWatching: FDWatcher

export Host, Worker, start, execute, kill_worker, stop, finished # and `interrupt`, a name of Distributed's too

const library = "liblauter.so.0"
const EVENT_STREAM, EVENT_OUTPUT, EVENT_DONE, EVENT_CALL, EVENT_EXITED = UInt32.((3, 4, 5, 6, 8))
const ERROR_INTERRUPTED = Int32(-9)

struct Part
    type::Cstring
    data::Ptr{UInt8}
    size::Csize_t
end

struct Report
    size::UInt32
    reason::UInt32
    exit_code::Int32
    signal::Int32
    rung::UInt32
    core_dumped::UInt32
    wall_us::UInt64
    cpu_user_us::UInt64
    cpu_system_us::UInt64
    peak_bytes::UInt64
    label::Cstring
    why::Cstring
    stderr_tail::Cstring
    missing::Cstring
    denied::Cstring
end

struct RawEvent
    size::UInt32
    kind::UInt32
    worker::UInt64
    worker_cookie::UInt64
    call::UInt64
    call_cookie::UInt64
    parent::UInt64
    status::Int32
    stream::UInt32
    dropped::UInt64
    name::Cstring
    parts::Ptr{Part}
    part_count::Csize_t
    error::Ptr{Cvoid}
    report::Ptr{Report}
    owner::Ptr{Cvoid}
    channel::UInt64
    channel_cookie::UInt64
    descriptor::Int32
    reserved::UInt32
end

"""An event structure to be filled, as the library wants it: its size, and zeros."""
function empty_event()
    event = Ref{RawEvent}()
    GC.@preserve event begin
        pointer = Ptr{UInt8}(Base.unsafe_convert(Ptr{RawEvent}, event))
        ccall(:memset, Ptr{Cvoid}, (Ptr{Cvoid}, Cint, Csize_t), pointer, 0, sizeof(RawEvent))
        unsafe_store!(Ptr{UInt32}(pointer), sizeof(RawEvent))
    end
    return event
end

clear(event) = ccall((:lauter_event_clear, library), Cvoid, (Ref{RawEvent},), event)

struct Failure <: Exception
    code::Int32
    name::String
    message::String
end

Base.showerror(io::IO, failure::Failure) = print(io, failure.name, ": ", failure.message)

message(error::Ptr{Cvoid}) = unsafe_string(ccall((:lauter_error_message, library), Cstring, (Ptr{Cvoid},), error))

"""Run `body` with a place for an error, and raise what it was given."""
function checked(body)
    error = Ref{Ptr{Cvoid}}(C_NULL)
    code = body(error)
    code >= 0 && return code
    name = unsafe_string(ccall((:lauter_code_name, library), Cstring, (Int32,), code))
    text = message(error[])
    ccall((:lauter_error_free, library), Cvoid, (Ptr{Cvoid},), error[])
    throw(Failure(code, name, text))
end

"""What Julia keeps of an event."""
struct Event
    status::Int
    name::String
    text::String
    why::String
end

mutable struct Host
    raw::Ptr{Cvoid}
    watcher::Union{FDWatcher,Nothing}
    task::Union{Task,Nothing}
    waiting::Dict{UInt64,Channel{Event}} # by cookie: calls and ends of workers
    cookies::UInt64
    printed::Dict{UInt64,String}
    shown::Int
end

"""A host; with `watched=false` one whose events nobody takes, for calls that are waited for."""
function Host(; watched=true)
    raw = Ref{Ptr{Cvoid}}()
    checked(error -> ccall((:lauter_host_new, library), Int32, (Ref{Ptr{Cvoid}}, Ref{Ptr{Cvoid}}), raw, error))
    host = Host(raw[], nothing, nothing, Dict(), 0, Dict(), 0)
    watched && watch(host)
    return host
end

# begin: loop
function watch(host::Host)
    descriptor = ccall((:lauter_host_fd, library), Int32, (Ptr{Cvoid},), host.raw)
    host.watcher = FDWatcher(RawFD(descriptor), true, false)
    host.task = @async begin
        event = empty_event()
        while is_readable(host.watcher)
            while ccall((:lauter_host_next, library), Int32, (Ptr{Cvoid}, Ref{RawEvent}, Ptr{Cvoid}),
                        host.raw, event, C_NULL) > 0
                take(host, event[])
                yield() # others have work as well
            end
        end
        clear(event)
    end
end

"""Sleep until there is something to take, while other tasks run; false once the watcher is closed."""
function is_readable(watcher::FDWatcher)
    try
        wait(watcher)
        return true
    catch error
        error isa EOFError && return false
        rethrow()
    end
end

function Base.close(host::Host)
    if host.watcher !== nothing
        close(host.watcher)
        wait(host.task)
    end
    ccall((:lauter_host_free, library), Cvoid, (Ptr{Cvoid},), host.raw)
end
# end: loop

bytes(part::Part) = unsafe_string(part.data, part.size)

function take(host::Host, event::RawEvent)
    parts = unsafe_wrap(Array, event.parts, event.part_count)
    text = isempty(parts) ? "" : bytes(parts[1])
    if event.kind == EVENT_STREAM
        host.printed[event.worker_cookie] = get(host.printed, event.worker_cookie, "") * text
    elseif event.kind == EVENT_OUTPUT
        host.shown += sum(Int(part.size) for part in parts)
    elseif event.kind == EVENT_CALL
        with_part("text/plain", "Ada") do part
            checked(error -> ccall((:lauter_call_reply, library), Int32,
                                   (Ptr{Cvoid}, UInt64, Ref{Part}, Csize_t, Ref{Ptr{Cvoid}}),
                                   host.raw, event.call, part, 1, error))
        end
    elseif event.kind == EVENT_DONE
        put!(pop!(host.waiting, event.call_cookie),
             Event(event.status, unsafe_string(event.name), text, message(event.error)))
    elseif event.kind == EVENT_EXITED
        report = unsafe_load(event.report)
        put!(pop!(host.waiting, event.worker_cookie), Event(report.reason, "", "", unsafe_string(report.why)))
    end
end

function with_part(body, type::String, text::String)
    GC.@preserve type text begin
        return body(Ref(Part(Cstring(pointer(type)), pointer(text), sizeof(text))))
    end
end

"""Make what an event will be put into *before* what causes it."""
function expect(host::Host)
    host.cookies += 1
    come = host.waiting[host.cookies] = Channel{Event}(1)
    return host.cookies, come
end

struct Worker
    host::Host
    id::UInt64
    cookie::UInt64
    ended::Channel{Event}
end

struct Call
    host::Host
    id::UInt64
    done::Channel{Event}
end

"""Start a Python worker under the preset `notebook`."""
function Worker(host::Host, interpreter::String)
    policy, launch, worker = Ref{Ptr{Cvoid}}(C_NULL), Ref{Ptr{Cvoid}}(C_NULL), Ref{UInt64}()
    cookie, ended = expect(host)
    try
        checked(error -> ccall((:lauter_policy_new, library), Int32, (Cstring, Ref{Ptr{Cvoid}}, Ref{Ptr{Cvoid}}),
                               "notebook", policy, error))
        checked(error -> ccall((:lauter_launch_new, library), Int32, (Cstring, Ref{Ptr{Cvoid}}, Ref{Ptr{Cvoid}}),
                               "python", launch, error))
        checked(error -> ccall((:lauter_launch_set, library), Int32, (Ptr{Cvoid}, Cstring, Cstring, Ref{Ptr{Cvoid}}),
                               launch[], "interpreter", interpreter, error))
        checked(error -> ccall((:lauter_spawn, library), Int32,
                               (Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, UInt64, Ref{UInt64}, Ref{Ptr{Cvoid}}),
                               host.raw, policy[], launch[], cookie, worker, error))
    catch
        delete!(host.waiting, cookie)
        rethrow()
    finally
        ccall((:lauter_launch_free, library), Cvoid, (Ptr{Cvoid},), launch[])
        ccall((:lauter_policy_free, library), Cvoid, (Ptr{Cvoid},), policy[])
    end
    return Worker(host, worker[], cookie, ended)
end

function start(worker::Worker, source::String)
    call = Ref{UInt64}()
    cookie, done = expect(worker.host)
    with_part("text/x-python", source) do part
        checked(error -> ccall((:lauter_call_start, library), Int32,
                               (Ptr{Cvoid}, UInt64, UInt32, Cstring, Ref{Part}, Csize_t, Int64, UInt64, Ref{UInt64},
                                Ref{Ptr{Cvoid}}),
                               worker.host.raw, worker.id, 0, "execute", part, 1, -1, cookie, call, error))
    end
    return Call(worker.host, call[], done)
end

function execute(worker::Worker, source::String)
    event = take!(start(worker, source).done)
    event.status == 0 || error(event.name * event.why)
    return event.text
end

"""Sleep in C until a call is done, for a host that is not watched. A signal ends that sleep and not the call: between two
sleeps Julia raises the InterruptException of a Ctrl-C."""
function finished(call::Call)
    event = empty_event()
    while true
        try
            checked(error -> ccall((:lauter_call_wait, library), Int32,
                                   (Ptr{Cvoid}, UInt64, Int64, Ref{RawEvent}, Ref{Ptr{Cvoid}}),
                                   call.host.raw, call.id, -1, event, error))
            break
        catch failure
            failure isa Failure && failure.code == ERROR_INTERRUPTED || rethrow()
        end
    end
    name = unsafe_string(event[].name)
    clear(event)
    return name
end

interrupt(call::Call) = checked(error -> ccall((:lauter_call_interrupt, library), Int32,
                                               (Ptr{Cvoid}, UInt64, Ref{Ptr{Cvoid}}), call.host.raw, call.id, error))
kill_worker(worker::Worker) = checked(error -> ccall((:lauter_worker_kill, library), Int32,
                                                     (Ptr{Cvoid}, UInt64, Ref{Ptr{Cvoid}}),
                                                     worker.host.raw, worker.id, error))
stop(worker::Worker) = checked(error -> ccall((:lauter_worker_stop, library), Int32,
                                              (Ptr{Cvoid}, UInt64, Int64, Int64, Ref{Ptr{Cvoid}}),
                                              worker.host.raw, worker.id, 5000, 1000, error))

end
