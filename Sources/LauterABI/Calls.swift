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

/// Checks what a program wants to send. Nothing is copied: it is good for as long as the caller's memory is.
func outgoing(
  _ name: UnsafePointer<CChar>?, _ nameOf: String, _ parts: UnsafePointer<lauter_part>?,
  _ count: Int
) throws(HostError) -> Outgoing {
  guard let name else { throw invalid(nameOf, "\(nameOf) is NULL") }
  let nameSize = strlen(name)
  guard nameSize <= LAUTER_NAME_MAX else {
    throw invalid(nameOf, "\(nameOf) has \(nameSize) bytes, at most \(LAUTER_NAME_MAX) are allowed")
  }
  guard count >= 0, count <= LAUTER_PARTS_MAX else {
    throw invalid("part_count", "\(count) parts, at most \(LAUTER_PARTS_MAX) are allowed")
  }
  guard parts != nil || count == 0 else { throw invalid("parts", "parts is NULL") }
  var typeSizes: [Int] = []
  var bodySize = 0
  for index in 0..<count {
    let part = parts![index]
    guard let type = part.type else {
      throw invalid("parts", "part \(index) has no media type")
    }
    let size = strlen(type)
    guard size <= LAUTER_NAME_MAX else {
      throw invalid(
        "parts",
        "the media type of part \(index) has \(size) bytes, at most \(LAUTER_NAME_MAX) are allowed")
    }
    guard part.data != nil || part.size == 0 else {
      throw invalid("parts", "part \(index) has \(part.size) bytes at NULL")
    }
    guard part.size >= 0, part.size <= Int(Wire.messageMax) - bodySize else {
      throw HostError(
        LAUTER_ERROR_LIMIT, subject: "parts", "the parts have more than 1 GiB together")
    }
    typeSizes.append(size)
    bodySize += part.size
  }
  // One layout under two names: the header's for hosts, the wire's for the core.
  let raw = UnsafeRawPointer(parts)?.assumingMemoryBound(to: MessagePart.self)
  return Outgoing(
    name: UnsafeRawBufferPointer(start: name, count: nameSize),
    parts: UnsafeBufferPointer(start: raw, count: count), typeSizes: typeSizes, bodySize: bodySize)
}

@_cdecl("lauter_call_start") @implementation
public func lauter_call_start(
  _ host: OpaquePointer?, _ worker: lauter_worker, _ lane: UInt32, _ verb: UnsafePointer<CChar>?,
  _ parts: UnsafePointer<lauter_part>?, _ count: Int, _ timeout: Int64, _ cookie: UInt64,
  _ call: UnsafeMutablePointer<lauter_call>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try required(call, "call")
    guard lane == UInt32(LAUTER_LANE_MAIN) || lane == UInt32(LAUTER_LANE_SIDE) else {
      throw invalid("lane", "no lane has the number \(lane)")
    }
    out.pointee = try host.startCall(
      worker, lane: lane, outgoing(verb, "verb", parts, count), timeoutMilliseconds: timeout,
      cookie: cookie)
    return 0
  }
}

@_cdecl("lauter_call_interrupt") @implementation
public func lauter_call_interrupt(
  _ host: OpaquePointer?, _ call: lauter_call, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.interruptCall(call)
    return 0
  }
}

@_cdecl("lauter_call_abandon") @implementation
public func lauter_call_abandon(
  _ host: OpaquePointer?, _ call: lauter_call, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.abandonCall(call)
    return 0
  }
}

@_cdecl("lauter_call_wait") @implementation
public func lauter_call_wait(
  _ host: OpaquePointer?, _ call: lauter_call, _ timeout: Int64,
  _ event: UnsafeMutablePointer<lauter_event>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    let out = try emptied(event)
    fill(out, try host.waitCall(call, milliseconds: timeout))
    return 0
  }
}

@_cdecl("lauter_call_into") @implementation
public func lauter_call_into(
  _ host: OpaquePointer?, _ call: lauter_call, _ memory: UnsafeMutableRawPointer?, _ size: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    guard let memory, size >= 0 else { throw invalid("memory", "memory is NULL") }
    try host.receiveResult(of: call, in: UnsafeMutableRawBufferPointer(start: memory, count: size))
    return 0
  }
}

@_cdecl("lauter_call_reply") @implementation
public func lauter_call_reply(
  _ host: OpaquePointer?, _ call: lauter_call, _ parts: UnsafePointer<lauter_part>?, _ count: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    try host.reply(call, outgoing(constant(""), "name", parts, count), isFailure: false)
    return 0
  }
}

@_cdecl("lauter_call_fail") @implementation
public func lauter_call_fail(
  _ host: OpaquePointer?, _ call: lauter_call, _ name: UnsafePointer<CChar>?,
  _ message: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let host: Host = try object(host, "host")
    guard let message else { throw invalid("message", "message is NULL") }
    let part = lauter_part(type: constant("text/plain"), data: message, size: strlen(message))
    try withUnsafePointer(to: part) { (part) throws(HostError) in
      try host.reply(call, outgoing(name, "name", part, 1), isFailure: true)
    }
    return 0
  }
}
