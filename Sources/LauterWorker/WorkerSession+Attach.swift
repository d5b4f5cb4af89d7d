// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// The descriptors that a worker is born with.
private enum Born {
  static let session: Int32 = 3
  static let page: Int32 = 4
  static let arena: Int32 = 5
}

extension WorkerSession {
  /// What the header's abilities may be.
  private static let known: Greeting.Abilities = [
    .interruptBySignal, .interruptByMessage, .sideLane,
  ]

  /// Takes over this process's session and greets.
  package static func attach(name: String, abilities: UInt32) throws(SessionError) -> WorkerSession
  {
    let abilities = Greeting.Abilities(rawValue: abilities)
    guard known.isSuperset(of: abilities) else {
      throw SessionError(
        LAUTER_ERROR_INVALID, subject: "abilities",
        "no ability has the number \(abilities.rawValue)"
      )
    }
    guard name.utf8.count <= Wire.nameMax else {
      throw SessionError(
        LAUTER_ERROR_INVALID, subject: "name",
        "the name has \(name.utf8.count) bytes, at most \(Wire.nameMax) are allowed")
    }
    // Already ours once it does not outlive an exec.
    guard lx_is_stream(Born.session) != 0, lx_fd_flags(Born.session) & Int(FD_CLOEXEC) == 0 else {
      throw SessionError(
        LAUTER_ERROR_STATE, subject: "descriptor 3",
        "descriptor 3 is no session: this program is to be started by a lauter host, with the launch kind \"worker\", "
          + "and attaches once")
    }
    let session: WorkerSession
    do throws(KernelError) {
      let page = lx_map_page(Born.page)
      // Before anything can fail: no program that is executed gets it.
      try check("fcntl", lx_close_on_exec(Born.session))
      session = try .make(OwnedFD(adopting: Born.session), page: checked(page))
    } catch {
      throw SessionError(error, doing: "attach to the session")
    }
    try session.greet(name, abilities)
    return session
  }

  /// A page that has the header of a control page.
  private static func checked(_ page: UnsafeRawPointer?) -> UnsafeRawPointer? {
    guard let page else { return nil }
    // The version, and 256 slots.
    if page.load(as: UInt32.self) == Wire.magic,
      page.load(fromByteOffset: 4, as: UInt32.self) == 0x0100_0001
    {
      return page
    }
    lx_unmap(UnsafeMutableRawPointer(mutating: page), 4096)
    return nil
  }

  private func greet(_ name: String, _ abilities: Greeting.Abilities) throws(SessionError) {
    var patience = Patience.endless
    try enter()
    defer { leave() }
    while greeting == nil { _ = try pause(&patience) }
    var hello = Greeting()
    hello.name = name
    hello.abilities = abilities
    if mapArena() { hello.abilities.formUnion([.readsArena, .readsInPlace]) }
    _ = lx_close(Born.page)
    _ = lx_close(Born.arena)
    control.append(contentsOf: hello.frame())
    flushControl()
  }

  /// Maps what the host has for large parts, if it has something.
  private func mapArena() -> Bool {
    guard let half = greeting.map({ UInt64($0.arenaHalf) << 20 }), half > 0,
      // A file that is shorter would end us at a touch behind its end.
      UInt64(lx_regular_size(Born.arena)) >= 2 * half,
      let map = ArenaMap.map(Born.arena, half: half, writesFirst: false),
      let returns = PlaceReturns.make(-1)
    else { return false }
    self.returns = returns
    inbox.arena = ArenaReader(map, start: 0, returns: returns)
    writer = ArenaWriter(map, start: half)
    return true
  }

  /// Says that calls can come.
  package func ready() throws(SessionError) {
    try enter()
    defer { leave() }
    guard !saidReady else {
      throw SessionError(LAUTER_ERROR_STATE, subject: "ready", "it was said before")
    }
    saidReady = true
    appendControl(.ready)
    flushControl()
    if isDeaf { throw .hostGone }
  }

  /// Adds a frame that waits for no one.
  func appendControl(_ kind: FrameKind, id: UInt64 = 0, payload: [UInt8] = []) {
    appendHeader(FrameHeader(size: payload.count, kind: kind, id: id), to: &control)
    control.append(contentsOf: payload)
  }

  func appendHeader(_ header: FrameHeader, to bytes: inout [UInt8]) {
    withUnsafeTemporaryAllocation(byteCount: Wire.headerSize, alignment: 8) { space in
      header.encode(to: space)
      bytes.append(contentsOf: UnsafeRawBufferPointer(space))
    }
  }
}
