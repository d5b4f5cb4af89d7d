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
#if canImport(LauterWorker)
  import LauterWorker
#endif

/// Checks what a worker wants to send, and sends it.
///
/// - Parameter id: where its id is wanted, and under which name.
private func sending(
  _ slot: ErrorSlot, _ session: OpaquePointer?, _ name: UnsafePointer<CChar>?,
  _ parts: UnsafePointer<lauter_part>?, _ count: Int, _ purpose: Purpose,
  id: (out: UnsafeMutablePointer<UInt64>?, name: String)? = nil
) -> Int32 {
  status(slot) { () throws(HostError) in
    let session: WorkerSession = try object(session, "session")
    if let id { _ = try required(id.out, id.name) }
    let checked = try outgoing(name, "name", parts, count)
    let message = OutgoingParts(
      name: checked.name, parts: checked.parts, typeSizes: checked.typeSizes,
      size: checked.bodySize)
    let sent = try translating { () throws(SessionError) in try session.send(purpose, message) }
    id?.out?.pointee = sent
    return 0
  }
}

/// The same with a message and perhaps a traceback.
private func sending(
  _ slot: ErrorSlot, _ session: OpaquePointer?, _ name: UnsafePointer<CChar>?,
  message: UnsafePointer<CChar>?, traceback: UnsafePointer<CChar>?, _ purpose: Purpose
) -> Int32 {
  withUnsafeTemporaryAllocation(of: lauter_part.self, capacity: 2) { parts in
    // NULL is refused with the other parts that have no data.
    parts[0] = lauter_part(
      type: constant("text/plain"), data: message, size: message.map { strlen($0) } ?? 1)
    parts[1] = lauter_part(
      type: constant("text/x-traceback"), data: traceback, size: traceback.map { strlen($0) } ?? 0)
    return sending(
      slot, session, name, parts.baseAddress, traceback == nil ? 1 : 2, purpose)
  }
}

@_cdecl("lauter_session_output") @implementation
public func lauter_session_output(
  _ session: OpaquePointer?, _ call: UInt64, _ name: UnsafePointer<CChar>?,
  _ parts: UnsafePointer<lauter_part>?, _ count: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(error, session, name, parts, count, .output(call: call))
}

@_cdecl("lauter_session_reply") @implementation
public func lauter_session_reply(
  _ session: OpaquePointer?, _ call: UInt64, _ parts: UnsafePointer<lauter_part>?, _ count: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(error, session, constant(""), parts, count, .result(call: call))
}

@_cdecl("lauter_session_fail") @implementation
public func lauter_session_fail(
  _ session: OpaquePointer?, _ call: UInt64, _ name: UnsafePointer<CChar>?,
  _ message: UnsafePointer<CChar>?, _ traceback: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(
    error, session, name, message: message, traceback: traceback, .failure(call: call))
}

@_cdecl("lauter_session_fail_with") @implementation
public func lauter_session_fail_with(
  _ session: OpaquePointer?, _ call: UInt64, _ name: UnsafePointer<CChar>?,
  _ parts: UnsafePointer<lauter_part>?, _ count: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(error, session, name, parts, count, .failure(call: call))
}

// MARK: Calls to the host

@_cdecl("lauter_session_call") @implementation
public func lauter_session_call(
  _ session: OpaquePointer?, _ parent: UInt64, _ verb: UnsafePointer<CChar>?,
  _ parts: UnsafePointer<lauter_part>?, _ count: Int, _ timeout: Int64,
  _ answer: UnsafeMutablePointer<lauter_request>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  var call: UInt64 = 0
  let started = lauter_session_call_start(session, parent, verb, parts, count, &call, error)
  guard started == 0 else { return started }
  let waited = lauter_session_call_wait(session, call, timeout, answer, error)
  if waited < 0 { _ = lauter_session_call_cancel(session, call, nil) }
  return waited
}

@_cdecl("lauter_session_call_start") @implementation
public func lauter_session_call_start(
  _ session: OpaquePointer?, _ parent: UInt64, _ verb: UnsafePointer<CChar>?,
  _ parts: UnsafePointer<lauter_part>?, _ count: Int, _ call: UnsafeMutablePointer<UInt64>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(error, session, verb, parts, count, .call(parent: parent), id: (call, "call"))
}

@_cdecl("lauter_session_call_wait") @implementation
public func lauter_session_call_wait(
  _ session: OpaquePointer?, _ call: UInt64, _ timeout: Int64,
  _ answer: UnsafeMutablePointer<lauter_request>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  let result = fillRequest(error, session, answer, "answer", .answer(call), timeout)
  return min(result, 0)
}

@_cdecl("lauter_session_call_cancel") @implementation
public func lauter_session_call_cancel(
  _ session: OpaquePointer?, _ call: UInt64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  onSession(error, session) { (session) throws(SessionError) in
    try session.cancelCall(call)
    return 0
  }
}

// MARK: Channels

@_cdecl("lauter_session_open") @implementation
public func lauter_session_open(
  _ session: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ parts: UnsafePointer<lauter_part>?,
  _ count: Int, _ window: UInt64, _ channel: UnsafeMutablePointer<UInt64>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(
    error, session, name, parts, count, .open(window: window), id: (channel, "channel"))
}

@_cdecl("lauter_session_grant") @implementation
public func lauter_session_grant(
  _ session: OpaquePointer?, _ channel: UInt64, _ window: UInt64,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  onSession(error, session) { (session) throws(SessionError) in
    try session.grant(channel, window: window)
    return 0
  }
}

@_cdecl("lauter_session_send") @implementation
public func lauter_session_send(
  _ session: OpaquePointer?, _ channel: UInt64, _ parts: UnsafePointer<lauter_part>?,
  _ count: Int, _ timeout: Int64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(
    error, session, constant(""), parts, count,
    .data(channel: channel, milliseconds: timeout))
}

@_cdecl("lauter_session_receive") @implementation
public func lauter_session_receive(
  _ session: OpaquePointer?, _ channel: UInt64, _ timeout: Int64,
  _ request: UnsafeMutablePointer<lauter_request>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  fillRequest(error, session, request, "request", .channel(channel), timeout)
}

@_cdecl("lauter_session_end") @implementation
public func lauter_session_end(
  _ session: OpaquePointer?, _ channel: UInt64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(error, session, constant(""), nil, 0, .end(channel: channel))
}

@_cdecl("lauter_session_cancel") @implementation
public func lauter_session_cancel(
  _ session: OpaquePointer?, _ channel: UInt64, _ name: UnsafePointer<CChar>?,
  _ message: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  sending(
    error, session, name, message: message, traceback: nil, .cancel(channel: channel))
}
