// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  public import CLauter
#endif
#if canImport(LauterHost)
  import LauterHost
#endif

@_cdecl("lauter_worker_dial") @implementation
public func lauter_worker_dial(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ port: UInt32, _ timeout: Int64,
  _ descriptor: UnsafeMutablePointer<Int32>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try required(descriptor, "descriptor")
    out.pointee = try host.open(worker, .port(port), milliseconds: timeout)
    return 0
  }
}

@_cdecl("lauter_worker_dial_start") @implementation
public func lauter_worker_dial_start(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ port: UInt32, _ timeout: Int64,
  _ cookie: UInt64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.startOpening(worker, .port(port), milliseconds: timeout, cookie: cookie)
    return 0
  }
}

@_cdecl("lauter_worker_open") @implementation
public func lauter_worker_open(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ path: UnsafePointer<CChar>?, _ flags: UInt32,
  _ timeout: Int64, _ descriptor: UnsafeMutablePointer<Int32>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try required(descriptor, "descriptor")
    out.pointee = try host.open(
      worker, .file(text(path, "path"), flags: flags), milliseconds: timeout)
    return 0
  }
}

@_cdecl("lauter_worker_open_start") @implementation
public func lauter_worker_open_start(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ path: UnsafePointer<CChar>?, _ flags: UInt32,
  _ timeout: Int64, _ cookie: UInt64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.startOpening(
      worker, .file(text(path, "path"), flags: flags), milliseconds: timeout, cookie: cookie)
    return 0
  }
}
