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

/// What a `lauter_request` owns: everything its pointers point to.
private final class RequestOwner: PartKeeper {
  let request: TakenRequest
  init(_ request: TakenRequest) {
    self.request = request
    super.init()
  }
}

/// Runs what the worker's side does, and gives its errors the one form that there is.
func onSession(
  _ slot: ErrorSlot, _ session: OpaquePointer?,
  _ body: (WorkerSession) throws(SessionError) -> Int32
) -> Int32 {
  status(slot) { () throws(HostError) in
    let session: WorkerSession = try object(session, "session")
    return try translating { () throws(SessionError) in try body(session) }
  }
}

func translating<R>(_ body: () throws(SessionError) -> R) throws(HostError) -> R {
  do throws(SessionError) { return try body() } catch {
    throw HostError(error.code, subject: error.subject, errno: error.errno, error.message)
  }
}

@_cdecl("lauter_session_attach") @implementation
public func lauter_session_attach(
  _ name: UnsafePointer<CChar>?, _ abilities: UInt32,
  _ session: UnsafeMutablePointer<OpaquePointer?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let out = try required(session, "session")
    let name = try text(name, "name")
    out.pointee = try translating { () throws(SessionError) in
      OpaquePointer(
        Unmanaged.passRetained(try WorkerSession.attach(name: name, abilities: abilities))
          .toOpaque())
    }
    return 0
  }
}

@_cdecl("lauter_session_ready") @implementation
public func lauter_session_ready(
  _ session: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  onSession(error, session) { (session) throws(SessionError) in
    try session.ready()
    return 0
  }
}

@_cdecl("lauter_session_fd") @implementation
public func lauter_session_fd(_ session: OpaquePointer?) -> Int32 {
  guard let session else { return -1 }
  return Unmanaged<WorkerSession>.fromOpaque(UnsafeRawPointer(session)).takeUnretainedValue()
    .descriptor()
}

@_cdecl("lauter_session_free") @implementation
public func lauter_session_free(_ session: OpaquePointer?) {
  guard let session else { return }
  let object = Unmanaged<WorkerSession>.fromOpaque(UnsafeRawPointer(session))
  object.takeUnretainedValue().close()
  object.release()
}

// MARK: Requests

/// The request that the caller hands in, made empty.
private func emptied(
  _ request: UnsafeMutablePointer<lauter_request>?, _ name: String
) throws(HostError) -> UnsafeMutablePointer<lauter_request> {
  let request = try required(request, name)
  guard request.pointee.size == UInt32(MemoryLayout<lauter_request>.size) else {
    throw invalid(
      name,
      "\(name).size is \(request.pointee.size), but this library's lauter_request has \(MemoryLayout<lauter_request>.size) bytes"
    )
  }
  lauter_request_clear(request)
  return request
}

/// Takes a request from a session and hands it out; 1 if there was one. An answer that does not come is an error.
func fillRequest(
  _ slot: ErrorSlot, _ session: OpaquePointer?, _ out: UnsafeMutablePointer<lauter_request>?,
  _ name: String, _ wanted: Wanted, _ timeout: Int64
) -> Int32 {
  status(slot) { () throws(HostError) in
    let session: WorkerSession = try object(session, "session")
    let out = try emptied(out, name)
    let request = try translating { () throws(SessionError) in
      try session.take(wanted, milliseconds: timeout)
    }
    guard let taken = request else {
      guard case .answer(let call) = wanted else { return 0 }
      throw HostError(
        LAUTER_ERROR_TIMEOUT, subject: "\(call)", "call \(call) was not answered in time")
    }
    let arrival = taken.arrival
    out.pointee.kind = UInt32(arrival.kind)
    out.pointee.id = arrival.id
    if let message = arrival.message {
      out.pointee.lane = message.lane
      out.pointee.name = message.name
      // One layout under two names, see `outgoing`.
      out.pointee.parts =
        message.partCount == 0
        ? nil
        : UnsafeRawPointer(message.parts.baseAddress!).assumingMemoryBound(to: lauter_part.self)
      out.pointee.part_count = message.partCount
      if arrival.kind == LAUTER_REQUEST_CALL { out.pointee.slot = session.slot(taken) }
      out.pointee.owner = Unmanaged.passRetained(RequestOwner(taken)).toOpaque()
    }
    return 1
  }
}

@_cdecl("lauter_session_next") @implementation
public func lauter_session_next(
  _ session: OpaquePointer?, _ take: UInt32, _ timeout: Int64,
  _ request: UnsafeMutablePointer<lauter_request>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  fillRequest(error, session, request, "request", .any(take), timeout)
}

@_cdecl("lauter_request_interrupted") @implementation
public func lauter_request_interrupted(_ request: UnsafeMutablePointer<lauter_request>?) -> Int32 {
  guard let request, let slot = request.pointee.slot else { return 0 }
  return lx_claim(slot, request.pointee.id, &request.pointee.claimed)
}

@_cdecl("lauter_request_clear") @implementation
public func lauter_request_clear(_ request: UnsafeMutablePointer<lauter_request>?) {
  guard let request else { return }
  let owner = request.pointee.owner
  let size = request.pointee.size
  request.pointee = lauter_request()
  request.pointee.size = size
  request.pointee.name = constant("")
  if let owner { Unmanaged<RequestOwner>.fromOpaque(owner).release() }
}

@_cdecl("lauter_request_keep") @implementation
public func lauter_request_keep(
  _ request: UnsafePointer<lauter_request>?, _ kept: UnsafeMutablePointer<OpaquePointer?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let out = try required(kept, "kept")
    guard let owner = request?.pointee.owner else {
      throw invalid("request", "the request has nothing to keep")
    }
    _ = Unmanaged<RequestOwner>.fromOpaque(owner).retain()
    out.pointee = OpaquePointer(owner)
    return 0
  }
}

// MARK: Memory

@_cdecl("lauter_session_lend") @implementation
public func lauter_session_lend(
  _ session: OpaquePointer?, _ size: Int, _ memory: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  onSession(error, session) { (session) throws(SessionError) in
    guard let memory else {
      throw SessionError(LAUTER_ERROR_INVALID, subject: "memory", "memory is NULL")
    }
    memory.pointee = try session.lend(size)
    return 0
  }
}

@_cdecl("lauter_session_unlend") @implementation
public func lauter_session_unlend(
  _ session: OpaquePointer?, _ memory: UnsafeMutableRawPointer?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  onSession(error, session) { (session) throws(SessionError) in
    if let memory { try session.unlend(memory) }
    return 0
  }
}
