// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  public import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterHost)
  import LauterHost
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// Bytes that a worker may send ahead; 0 stands for what suits most.
private func window(_ bytes: Int) throws(HostError) -> UInt64 {
  guard bytes >= 0, UInt64(bytes) <= Wire.messageMax else {
    throw invalid("window", "a window of \(bytes) bytes; at most 1 GiB is possible")
  }
  return bytes == 0 ? 1 << 20 : UInt64(bytes)
}

@_cdecl("lauter_channel_open") @implementation
public func lauter_channel_open(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ name: UnsafePointer<CChar>?,
  _ parts: UnsafePointer<lauter_part>?, _ count: Int, _ size: Int, _ cookie: UInt64,
  _ channel: UnsafeMutablePointer<lauter_channel>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try required(channel, "channel")
    out.pointee = try host.openChannel(
      worker, outgoing(name, "name", parts, count), window: window(size), cookie: cookie)
    return 0
  }
}

@_cdecl("lauter_channel_accept") @implementation
public func lauter_channel_accept(
  _ host: OpaquePointer?, _ channel: lauter_channel, _ size: Int, _ cookie: UInt64,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.acceptChannel(channel, window: window(size), cookie: cookie)
    return 0
  }
}

@_cdecl("lauter_channel_send") @implementation
public func lauter_channel_send(
  _ host: OpaquePointer?, _ channel: lauter_channel, _ parts: UnsafePointer<lauter_part>?,
  _ count: Int, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.sendData(channel, outgoing(constant(""), "name", parts, count))
    return 0
  }
}

@_cdecl("lauter_channel_receive") @implementation
public func lauter_channel_receive(
  _ host: OpaquePointer?, _ channel: lauter_channel, _ timeout: Int64,
  _ event: UnsafeMutablePointer<lauter_event>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try emptied(event)
    fill(out, try host.receive(channel, milliseconds: timeout))
    return 0
  }
}

@_cdecl("lauter_channel_end") @implementation
public func lauter_channel_end(
  _ host: OpaquePointer?, _ channel: lauter_channel, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.endChannel(channel)
    return 0
  }
}

@_cdecl("lauter_channel_cancel") @implementation
public func lauter_channel_cancel(
  _ host: OpaquePointer?, _ channel: lauter_channel, _ name: UnsafePointer<CChar>?,
  _ message: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    guard let message else { throw invalid("message", "message is NULL") }
    let part = lauter_part(type: constant("text/plain"), data: message, size: strlen(message))
    try withUnsafePointer(to: part) { (part) throws(HostError) in
      try host.cancelChannel(channel, outgoing(name, "name", part, 1))
    }
    return 0
  }
}
