// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// Memory that a part is built in.
struct LentMemory {
  let address: UnsafeMutableRawPointer
  let size: Int
  /// Nil if it is not in the arena.
  let place: Place?
}

extension WorkerSession {
  // MARK: Answers

  package func output(_ call: UInt64, _ message: OutgoingParts) throws(SessionError) {
    try send(.output, message) { () throws(SessionError) in
      guard unanswered.contains(call) else { throw .staleCall(call) }
      return call
    }
  }

  package func answer(
    _ call: UInt64, _ message: OutgoingParts, isFailure: Bool
  ) throws(SessionError) {
    try send(isFailure ? .failure : .result, message) { () throws(SessionError) in
      guard let index = unanswered.firstIndex(of: call) else { throw .staleCall(call) }
      unanswered.remove(at: index)
      return call
    }
  }

  // MARK: Calls to the host

  /// Calls that the host has not answered, at most.
  private static let waitingMost = 1024

  package func startCall(parent: UInt64, _ message: OutgoingParts) throws(SessionError) -> UInt64 {
    var id: UInt64 = 0
    try send(.call, parent: parent, message) { () throws(SessionError) in
      guard waiting.count < WorkerSession.waitingMost else {
        throw SessionError(
          LAUTER_ERROR_LIMIT, subject: "calls",
          "\(WorkerSession.waitingMost) calls wait for their answers")
      }
      id = nextCall
      nextCall += 1
      waiting.append(id)
      return id
    }
    return id
  }

  /// The answer to a call; nil if the time was up.
  package func awaitAnswer(_ id: UInt64, milliseconds: Int64) throws(SessionError) -> TakenRequest?
  {
    try take(
      milliseconds,
      orFail: { () throws(SessionError) in
        guard waiting.contains(id) else { throw .staleCall(id) }
      }
    ) { $0.id == id && $0.takers == UInt32(LAUTER_TAKE_ANSWERS) }
  }

  package func cancelCall(_ id: UInt64) throws(SessionError) {
    try locked { () throws(SessionError) in
      guard id > 0, id < nextCall else { throw .staleCall(id) }
      if let index = waiting.firstIndex(of: id) {
        waiting.remove(at: index)
        appendControl(.interrupt, id: id)
        flushControl()
      } else {
        _ = arrivals.take { $0.id == id && $0.takers == UInt32(LAUTER_TAKE_ANSWERS) }
        releaseReturned()
      }
      wakeSleepers()
    }
  }

  // MARK: Memory to build parts in

  /// Whether large parts may be left where they lie.
  var hostReadsInPlace: Bool { greeting?.abilities.contains(.readsInPlace) ?? false }

  package func lend(_ size: Int) throws(SessionError) -> UnsafeMutableRawPointer {
    guard size > 0, size <= Int(Wire.messageMax) else {
      throw SessionError(
        LAUTER_ERROR_INVALID, subject: "size", "\(size) is no size of 1 byte to 1 GiB")
    }
    return try locked { () throws(SessionError) in
      flushControl()
      receive()
      wakeSleepers()
      lastPlaced = lx_now()
      let place = writer?.take(UInt64(size))
      guard let address = place.flatMap({ writer?.bytes($0).baseAddress }) ?? lx_malloc(size) else {
        throw .outOfMemory("a part of \(size) bytes")
      }
      lent.append(LentMemory(address: address, size: size, place: place))
      return address
    }
  }

  package func unlend(_ address: UnsafeMutableRawPointer) throws(SessionError) {
    try locked { () throws(SessionError) in
      guard let index = lent.firstIndex(where: { $0.address == address }) else {
        throw SessionError(
          LAUTER_ERROR_INVALID, subject: "memory", "this memory was not lent, or was sent")
      }
      let memory = lent.remove(at: index)
      if let place = memory.place {
        writer?.cut(place, into: [])
      } else {
        lx_free(memory.address)
      }
    }
  }

  /// Takes lent memory of the arena that a part lies in; nil if it lies elsewhere.
  func takeLent(_ part: UnsafeRawBufferPointer) -> Place? {
    relock()
    defer { unlock() }
    guard
      let index = lent.firstIndex(where: {
        UnsafeRawPointer($0.address) == part.baseAddress && $0.place != nil
          && part.count <= $0.size
      })
    else { return nil }
    return lent.remove(at: index).place
  }

  /// Ordinary memory that was lent goes once it was sent.
  func freeLent(_ address: UnsafeRawPointer?) {
    guard address != nil else { return }
    relock()
    defer { unlock() }
    if let index = lent.firstIndex(where: {
      UnsafeRawPointer($0.address) == address && $0.place == nil
    }) {
      lx_free(lent.remove(at: index).address)
    }
  }
}
