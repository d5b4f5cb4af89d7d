// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  public import CLauter
#endif
#if canImport(LauterHost)
  import LauterHost
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

@_cdecl("lauter_host_new") @implementation
public func lauter_host_new(
  _ host: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let out = try required(host, "host")
    out.pointee = OpaquePointer(Unmanaged.passRetained(try Host.make()).toOpaque())
    return 0
  }
}

@_cdecl("lauter_host_fd") @implementation
public func lauter_host_fd(_ host: OpaquePointer?) -> Int32 {
  guard let host else { return -1 }
  return Unmanaged<Host>.fromOpaque(UnsafeRawPointer(host)).takeUnretainedValue().descriptor
}

@_cdecl("lauter_host_wait") @implementation
public func lauter_host_wait(
  _ host: OpaquePointer?, _ timeout: Int64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    return try host.wait(milliseconds: timeout) ? 1 : 0
  }
}

@_cdecl("lauter_host_free") @implementation
public func lauter_host_free(_ host: OpaquePointer?) {
  guard let host else { return }
  let object = Unmanaged<Host>.fromOpaque(UnsafeRawPointer(host))
  // In a forked child the descriptors are the parent's as well: leave everything as it is.
  guard object.takeUnretainedValue().isHere else { return }
  object.takeUnretainedValue().shutDown()
  object.release()
}

@_cdecl("lauter_host_next") @implementation
public func lauter_host_next(
  _ host: OpaquePointer?, _ event: UnsafeMutablePointer<lauter_event>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try emptied(event)
    guard let next = try host.next() else { return 0 }
    fill(out, next)
    return 1
  }
}

// MARK: Workers

@_cdecl("lauter_spawn") @implementation
public func lauter_spawn(
  _ host: OpaquePointer?, _ policy: OpaquePointer?, _ launch: OpaquePointer?, _ cookie: UInt64,
  _ worker: UnsafeMutablePointer<lauter_worker>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let policy: PolicyObject = try object(policy, "policy")
    let launch: LaunchObject = try object(launch, "launch")
    let out = try required(worker, "worker")
    out.pointee = try host.spawn(
      policy.policy, launch.launch, runtimeDirectory: runtimeDirectory(for: launch.launch),
      cookie: cookie)
    return 0
  }
}

@_cdecl("lauter_worker_wait_ready") @implementation
public func lauter_worker_wait_ready(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ timeout: Int64,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.waitReady(worker, milliseconds: timeout)
    return 0
  }
}

@_cdecl("lauter_worker_wait_exit") @implementation
public func lauter_worker_wait_exit(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ timeout: Int64,
  _ event: UnsafeMutablePointer<lauter_event>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try emptied(event)
    fill(out, try host.waitExit(worker, milliseconds: timeout))
    return 0
  }
}

@_cdecl("lauter_worker_pid") @implementation
public func lauter_worker_pid(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ pid: UnsafeMutablePointer<Int32>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try required(pid, "pid")
    out.pointee = try host.pid(of: worker)
    return 0
  }
}

@_cdecl("lauter_worker_signal") @implementation
public func lauter_worker_signal(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ signal: Int32,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.signal(worker, signal)
    return 0
  }
}

@_cdecl("lauter_worker_stdin") @implementation
public func lauter_worker_stdin(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ data: UnsafeRawPointer?, _ size: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    guard size >= 0, data != nil || size == 0 else { throw invalid("data", "data is NULL") }
    try host.writeStdin(worker, UnsafeRawBufferPointer(start: data, count: size))
    return 0
  }
}

@_cdecl("lauter_worker_pause") @implementation
public func lauter_worker_pause(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.pause(worker)
    return 0
  }
}

@_cdecl("lauter_worker_resume") @implementation
public func lauter_worker_resume(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.resume(worker)
    return 0
  }
}

@_cdecl("lauter_worker_resize") @implementation
public func lauter_worker_resize(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ rows: UInt32, _ columns: UInt32,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.resize(worker, rows: rows, columns: columns)
    return 0
  }
}

@_cdecl("lauter_worker_foreground") @implementation
public func lauter_worker_foreground(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ foreground: Int32,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.setForeground(worker, foreground != 0)
    return 0
  }
}

@_cdecl("lauter_worker_stop") @implementation
public func lauter_worker_stop(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ ask: Int64, _ term: Int64,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.stop(worker, askMilliseconds: ask, termMilliseconds: term)
    return 0
  }
}

@_cdecl("lauter_worker_kill") @implementation
public func lauter_worker_kill(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.kill(worker)
    return 0
  }
}
