// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

extension Host {
  /// The memory that a new worker shares with its host, and the descriptor that it gets. Nil where there is none: all goes
  /// in line then, with the same meaning.
  func makeArena(_ policy: Policy, descriptor: inout OwnedFD?) -> ArenaMap? {
    // Memory that can be written could be mapped as code.
    guard let size = policy.arenaBytes, policy.runsOwnCode else { return nil }
    let fd = lx_memfd_create("lauter-arena")
    guard fd >= 0 else { return nil }
    let file = OwnedFD(adopting: Int32(fd))
    // Sealed before it is mapped: of no size but this one, whatever the worker does.
    guard lx_ftruncate(file.raw, Int64(size)) == 0, lx_seal_size(file.raw) == 0,
      let map = ArenaMap.map(file.raw, half: size / 2, writesFirst: true)
    else { return nil }
    descriptor = consume file
    return map
  }

  /// Where places come back that programs read in place; made when first needed.
  func takePlaceReturns() throws(KernelError) -> PlaceReturns {
    if let returns { return returns }
    var fd = OwnedFD(adopting: Int32(try check("eventfd", lx_eventfd())))
    fd.move(from: Worker.leastDescriptor)
    try check("epoll_ctl", lx_epoll_ctl(epoll.raw, EPOLL_CTL_ADD, fd.raw, EPOLLIN.rawValue, 2))
    guard let made = PlaceReturns.make(fd.raw) else {
      throw KernelError(call: "malloc", errno: ENOMEM)
    }
    // Its own now: what is read in place may outlive the host.
    _ = fd.release()
    returns = made
    return made
  }
}
