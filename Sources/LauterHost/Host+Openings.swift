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
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// A descriptor on its way to the program; closed if nobody takes it.
package final class ReceivedDescriptor {
  private var fd: OwnedFD?

  init(_ fd: consuming OwnedFD) { self.fd = consume fd }

  package var raw: Int32 { fd.raw }

  /// -1 if it was taken before.
  package func take() -> Int32 {
    guard let fd = fd.take() else { return -1 }
    return fd.release()
  }
}

/// A descriptor that the program wants from within a worker.
final class Opening {
  let token: UInt32
  /// A port, or a path.
  let subject: String
  let isDial: Bool
  let cookie: UInt64
  /// Nil: none.
  let deadline: UInt64?
  /// Somebody sleeps for it.
  let isAwaited: Bool
  /// A connection that is not there yet: who listens has a full queue.
  var pending: OwnedFD?
  var done: Event?

  init(
    _ token: UInt32, _ subject: String, isDial: Bool, cookie: UInt64, deadline: UInt64?,
    isAwaited: Bool
  ) {
    self.token = token
    self.subject = subject
    self.isDial = isDial
    self.cookie = cookie
    self.deadline = deadline
    self.isAwaited = isAwaited
  }
}

extension Host {
  /// What of a worker's is wanted.
  package enum Wanted {
    case port(UInt32)
    case file(String, flags: UInt32)
  }

  /// Asks for a descriptor: a DESCRIPTOR event brings it.
  package func startOpening(
    _ id: UInt64, _ wanted: Wanted, milliseconds: Int64, cookie: UInt64
  ) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      _ = try ask(try worker(id), wanted, milliseconds, cookie: cookie, isAwaited: false)
    }
  }

  /// Sleeps until it is there. The descriptor is the caller's.
  package func open(
    _ id: UInt64, _ wanted: Wanted, milliseconds: Int64
  ) throws(HostError) -> Int32 {
    try checkFork()
    let (worker, opening) = try locked { () throws(HostError) -> (Worker, Opening) in
      let worker = try self.worker(id)
      return (worker, try ask(worker, wanted, milliseconds, cookie: 0, isAwaited: true))
    }
    defer { locked { forget(opening, worker) } }
    // Its own time is kept by the host, which says then what was not there in time.
    let event = try sleep(for: worker, -1, until: .opening(opening))
    if let error = event?.error { throw error }
    return event?.descriptor?.take() ?? -1
  }

  private func ask(
    _ worker: Worker, _ wanted: Wanted, _ milliseconds: Int64, cookie: UInt64, isAwaited: Bool
  ) throws(HostError) -> Opening {
    guard worker.lifecycle.phase != .gone, worker.control != nil else {
      throw .state(worker.id, "has ended")
    }
    guard worker.openings.count < Bounds.openings else {
      throw HostError(
        LAUTER_ERROR_LIMIT, subject: "\(worker.id)",
        "worker \(worker.id) has \(Bounds.openings) descriptors under way")
    }
    let isDial: Bool
    let subject: String
    var orders: [Control.Order] = []
    let token = worker.nextOpening
    switch wanted {
    case .port(let port):
      isDial = true
      subject = "\(port)"
      guard let number = UInt16(exactly: port), number > 0 else {
        throw HostError(LAUTER_ERROR_INVALID, subject: "port", "there is no port \(port)")
      }
      try checkDial(worker)
      orders.append(.dial(token: token, port: number))
    case .file(let path, let flags):
      isDial = false
      let (path, mode) = try checkOpen(worker, path, flags)
      subject = path
      let bytes = Array(path.utf8)
      for start in stride(from: 0, to: bytes.count, by: Control.textMax) {
        orders.append(.text(Array(bytes[start..<min(start + Control.textMax, bytes.count)])))
      }
      orders.append(.open(token: token, flags: mode))
    }
    worker.nextOpening += 1
    let opening = Opening(
      token, subject, isDial: isDial, cookie: cookie,
      deadline: milliseconds < 0
        ? nil : lx_now() + Bounds.nanoseconds(UInt64(milliseconds)), isAwaited: isAwaited)
    worker.openings.append(opening)
    for order in orders { worker.order(order) }
    arm(worker)
    return opening
  }

  private func checkDial(_ worker: Worker) throws(HostError) {
    let hasOwn = worker.policy.isConfined && !worker.plan.isGuarded
    switch worker.policy.network {
    case .own where hasOwn: return
    case .none where worker.policy.isConfined:
      throw HostError(
        LAUTER_ERROR_DENIED, subject: "net",
        "worker \(worker.id) has no network; allow it with --net private")
    case .own, .host, .none:
      throw HostError(
        LAUTER_ERROR_STATE, subject: "net",
        "worker \(worker.id) has no network of its own: its ports are the machine's, connect to them there"
      )
    }
  }

  /// The path as it is opened, and the flags of open(2).
  ///
  /// Init could open what Landlock keeps from the worker. So the policy is asked, about the very path: no symbolic link
  /// is followed on it.
  private func checkOpen(
    _ worker: Worker, _ path: String, _ flags: UInt32
  ) throws(HostError) -> (String, UInt32) {
    guard worker.policy.isConfined, !worker.plan.isGuarded else {
      throw HostError(
        LAUTER_ERROR_STATE, subject: path,
        "worker \(worker.id) has no files of its own: they are the machine's, open them there")
    }
    let writes = flags & UInt32(LAUTER_OPEN_WRITE) != 0
    let makes = flags & UInt32(LAUTER_OPEN_CREATE | LAUTER_OPEN_TRUNCATE) != 0
    let known = UInt32(
      LAUTER_OPEN_READ | LAUTER_OPEN_WRITE | LAUTER_OPEN_CREATE | LAUTER_OPEN_TRUNCATE)
    guard flags & ~known == 0, flags != 0, writes || !makes else {
      throw HostError(
        LAUTER_ERROR_INVALID, subject: "flags",
        "flags \(flags): LAUTER_OPEN_READ or LAUTER_OPEN_WRITE, and with the latter CREATE or TRUNCATE"
      )
    }
    let plain: String
    let refusal: String?
    do throws(PolicyError) {
      plain = try PolicyPath.normalise(path, for: "path")
      for own in ["/proc", "/dev", "/sys"] where PolicyPath.isWithin(plain, own) {
        throw PolicyError(
          subject: plain, message: "\(plain): not a file that can be opened for the host")
      }
      refusal = try worker.policy.check(writes ? "write" : "read", plain)
    } catch {
      throw HostError(LAUTER_ERROR_INVALID, subject: error.subject, error.message)
    }
    if let refusal {
      throw HostError(LAUTER_ERROR_DENIED, subject: plain, "\(plain): \(refusal)")
    }
    var mode = UInt32(writes ? O_WRONLY : O_RDONLY)
    if writes, flags & UInt32(LAUTER_OPEN_READ) != 0 { mode = UInt32(O_RDWR) }
    if flags & UInt32(LAUTER_OPEN_CREATE) != 0 { mode |= UInt32(O_CREAT) }
    if flags & UInt32(LAUTER_OPEN_TRUNCATE) != 0 { mode |= UInt32(O_TRUNC) }
    return (plain, mode)
  }

  // MARK: What init says

  /// An answer, with the descriptor that came along.
  func opened(_ worker: Worker, _ token: UInt32, errno: Int32, _ received: consuming OwnedFD?) {
    guard let opening = worker.openings.first(where: { $0.token == token && $0.pending == nil })
    else {
      // Late: nobody wants it any more. Never asked for, or twice: not our init's word.
      if token >= worker.nextOpening {
        perform(worker.lifecycle.end(.badNotice, now: lx_now()), worker)
      }
      return
    }
    guard let received else {
      return fail(
        opening, worker, KernelError(call: call(opening), errno: errno == 0 ? EMFILE : errno))
    }
    guard lx_is_what_was_wanted(received.raw, opening.isDial ? 1 : 0) != 0 else {
      fail(opening, worker, KernelError(call: call(opening), errno: EINVAL))
      return perform(worker.lifecycle.end(.badNotice, now: lx_now()), worker)
    }
    opening.pending = consume received
    settle(opening, worker)
  }

  private func call(_ opening: Opening) -> StaticString { opening.isDial ? "connect" : "openat2" }

  /// Hands out what is there.
  private func settle(_ opening: Opening, _ worker: Worker) {
    if opening.isDial {
      let state = lx_dial_state(opening.pending.raw)
      if state == 0 { return arm(worker) }
      if state < 0 {
        return fail(opening, worker, KernelError(call: "connect", errno: Int32(-state)))
      }
    }
    guard let fd = opening.pending.take() else { return }
    let event = Event(LAUTER_EVENT_DESCRIPTOR, of: worker)
    event.descriptor = ReceivedDescriptor(fd)
    finish(opening, worker, event)
  }

  private func fail(_ opening: Opening, _ worker: Worker, _ error: KernelError) {
    let doing = opening.isDial ? "dialling port \(opening.subject)" : "opening \(opening.subject)"
    var told = HostError(error, doing: "\(doing) in worker \(worker.id)")
    told.subject = opening.subject
    switch error.errno {
    case ENOENT: told.code = Int32(LAUTER_ERROR_NOT_FOUND)
    case EACCES, EPERM, EROFS: told.code = Int32(LAUTER_ERROR_DENIED)
    case ELOOP:
      told.code = Int32(LAUTER_ERROR_INVALID)
      told.message +=
        ": a symbolic link is on the way, and none is followed; name the path that it leads to"
    default: break
    }
    fail(opening, worker, told)
  }

  private func fail(_ opening: Opening, _ worker: Worker, _ error: HostError) {
    let event = Event(LAUTER_EVENT_DESCRIPTOR, of: worker)
    event.status = Int32(error.code)
    event.error = error
    finish(opening, worker, event)
  }

  private func finish(_ opening: Opening, _ worker: Worker, _ event: Event) {
    event.callCookie = opening.cookie
    opening.done = event
    forget(opening, worker)
    if opening.isAwaited { wakeWaiters(of: worker) } else { push(event, of: worker) }
  }

  private func forget(_ opening: Opening, _ worker: Worker) {
    if let index = worker.openings.firstIndex(where: { $0 === opening }) {
      worker.openings.remove(at: index)
    }
  }

  /// Looks at connections that were not there yet, and at the time.
  func lookAtOpenings(of worker: Worker, now: UInt64) {
    for opening in worker.openings {
      if opening.pending != nil { settle(opening, worker) }
      if opening.done == nil, let deadline = opening.deadline, deadline <= now {
        fail(
          opening, worker,
          HostError(
            LAUTER_ERROR_TIMEOUT, subject: opening.subject,
            "worker \(worker.id): the time was up before \(opening.subject) was open"))
      }
    }
  }

  /// The worker has ended.
  func endOpenings(of worker: Worker, _ error: HostError) {
    for opening in worker.openings { fail(opening, worker, error) }
  }
}
