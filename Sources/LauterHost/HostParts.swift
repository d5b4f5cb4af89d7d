// SPDX-License-Identifier: Apache-2.0

#if canImport(CLaunch)
  import CLaunch
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// What of a host may not be had, gathered before there is one.
struct HostParts: ~Copyable {
  let epoll: OwnedFD
  let wake: OwnedFD
  let timer: OwnedFD
  let ownPidfd: OwnedFD
  let null: OwnedFD
  let initImage: OwnedFD
  let forkMark: UnsafeMutablePointer<UInt32>
  let lock: UnsafeMutablePointer<lx_mutex>
  let compilerLock: UnsafeMutablePointer<lx_mutex>

  static func gathered() throws(KernelError) -> HostParts {
    let epoll = try aboveStandard("epoll_create1", lx_epoll_create())
    let wake = try aboveStandard("eventfd", lx_eventfd())
    let timer = try aboveStandard("timerfd_create", lx_timerfd())
    let ownPidfd = try aboveStandard("pidfd_open", lx_pidfd_open(Int32(lx_getpid())))
    let null = try aboveStandard("open /dev/null", lx_open("/dev/null", O_RDWR | O_CLOEXEC, 0))
    let initImage = try aboveStandard(LaunchStage.image, Int(claunch_init_open()))
    try check("epoll_ctl", lx_epoll_ctl(epoll.raw, EPOLL_CTL_ADD, wake.raw, EPOLLIN.rawValue, 0))
    try check("epoll_ctl", lx_epoll_ctl(epoll.raw, EPOLL_CTL_ADD, timer.raw, EPOLLIN.rawValue, 1))
    // Last and together: memory does not free itself as descriptors close themselves.
    let mark = lx_fork_mark()
    let locks = (lx_mutex_new(), lx_mutex_new())
    guard let mark, let first = locks.0, let second = locks.1 else {
      if let mark { lx_fork_mark_free(mark) }
      if let first = locks.0 { lx_mutex_free(first) }
      if let second = locks.1 { lx_mutex_free(second) }
      throw KernelError(call: mark == nil ? "mmap" : "malloc", errno: ENOMEM)
    }
    return HostParts(
      epoll: epoll, wake: wake, timer: timer, ownPidfd: ownPidfd, null: null, initImage: initImage,
      forkMark: mark, lock: first, compilerLock: second)
  }
}

/// A descriptor of ours, never 0, 1 or 2: in a host that has closed those, a worker that inherits them would get it.
private func aboveStandard(_ call: StaticString, _ result: Int) throws(KernelError) -> OwnedFD {
  let fd = OwnedFD(adopting: Int32(try check(call, result)))
  if fd.raw > 2 { return fd }
  return OwnedFD(adopting: Int32(try check("fcntl F_DUPFD_CLOEXEC", lx_dup_above(fd.raw, 3))))
}
