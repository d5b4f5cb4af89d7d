// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLaunch)
  import CLaunch
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterSandbox)
  import LauterSandbox
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// Owns workers. Everything in it is guarded by one lock, which is never held while anyone sleeps.
package final class Host: @unchecked Sendable {
  let lock: UnsafeMutablePointer<lx_mutex>
  /// Reads 1 here and 0 in a forked child, where nothing may be touched.
  private let forkMark: UnsafeMutablePointer<UInt32>
  let epoll: OwnedFD
  /// Readable while the queue holds events.
  let wake: OwnedFD
  let timer: OwnedFD
  let initImage: OwnedFD
  let ownPidfd: OwnedFD
  let null: OwnedFD
  /// Makes plans, under a lock of its own: it looks files up, which may take long, and no call waits for that.
  let compiler = SandboxCompiler()
  let compilerLock: UnsafeMutablePointer<lx_mutex>

  /// A plan did not fit the machine: the next is made after a new look at it.
  var lacksView = false

  /// What control groups there are, looked at when a worker first needs one; and the errno if none may be made. Under
  /// the compiler's lock.
  var ground: GroupGround?
  var groupRefusal: Int32 = 0
  /// Why no process can be born in a group; 0 if it can.
  var birthRefusal: Int32 = 0
  /// Groups for later workers, and those that could not be removed yet.
  var spareGroups: [ControlGroup] = []
  var leftGroups: [ControlGroup] = []

  var workers: [UInt64: Worker] = [:]
  var nextWorker: UInt64 = 1
  var calls: [UInt64: Call] = [:]
  /// Calls that workers made and the host has not answered, by the host's id.
  var incoming: [UInt64: Worker] = [:]
  /// Calls of both directions share one counter: no id ever means two things.
  var nextCall: UInt64 = 1
  var channels: [UInt64: Channel] = [:]
  var nextChannel: UInt64 = 1
  var queue = EventQueue()
  var timers = Timers()
  var timerSetTo: UInt64 = 0
  private var wakeIsSet = false
  /// Eventfds for threads that sleep for one worker; made when first needed.
  var spareWaiters: [Waiter] = []
  /// The waiter of the thread that holds the lock: it need not be told what it does itself.
  var ownWaiter: Waiter?
  /// Workers whose sessions were read further than was taken in, and can go on.
  var pausedSessions: [UInt64] = []
  /// Where places come back that programs read in place.
  var returns: PlaceReturns?
  let scratch: UnsafeMutableRawBufferPointer
  /// Not `scratch`: an answer is put together while the frame it answers is still being read there.
  let sendScratch: UnsafeMutableRawBufferPointer

  /// Not a throwing `init`: an object whose making is given up halfway keeps its memory.
  package static func make() throws(HostError) -> Host {
    do throws(KernelError) { return Host(try HostParts.gathered()) } catch {
      throw HostError(makingHost: error)
    }
  }

  private init(_ parts: consuming HostParts) {
    epoll = parts.epoll
    wake = parts.wake
    timer = parts.timer
    ownPidfd = parts.ownPidfd
    null = parts.null
    initImage = parts.initImage
    forkMark = parts.forkMark
    lock = parts.lock
    compilerLock = parts.compilerLock
    scratch = .allocate(byteCount: 1 << 18, alignment: 4096)
    sendScratch = .allocate(byteCount: Wire.headerSize + Wire.payloadMax, alignment: 4096)
  }

  deinit {
    scratch.deallocate()
    sendScratch.deallocate()
    lx_mutex_free(lock)
    lx_mutex_free(compilerLock)
    lx_fork_mark_free(forkMark)
  }

  /// The one descriptor to poll.
  package var descriptor: Int32 { epoll.raw }

  /// Whether this is the process that made the host.
  package var isHere: Bool { lx_fork_mark_read(forkMark) == 1 }

  func checkFork() throws(HostError) {
    if !isHere {
      throw HostError(LAUTER_ERROR_FORKED, "this host was made before a fork, in another process")
    }
  }

  /// Runs `body` alone. Whatever it queued is announced when it ends.
  func locked<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    lx_mutex_lock(lock)
    defer {
      announce()
      lx_mutex_unlock(lock)
    }
    return try body()
  }

  /// Makes `wake` readable exactly while there are events to take.
  private func announce() {
    let wanted = !queue.isEmpty || !pausedSessions.isEmpty
    guard wanted != wakeIsSet else { return }
    wakeIsSet = wanted
    var value: UInt64 = 1
    if wanted {
      _ = lx_write(wake.raw, &value, 8)
    } else {
      _ = lx_read(wake.raw, &value, 8)
    }
  }

  func worker(_ id: UInt64) throws(HostError) -> Worker {
    guard let worker = workers[id] else { throw .staleWorker(id) }
    return worker
  }

  // MARK: Watching

  func watch(_ worker: Worker, _ watched: Watched, _ events: UInt32) throws(KernelError) {
    try check(
      "epoll_ctl",
      lx_epoll_ctl(
        epoll.raw, EPOLL_CTL_ADD, worker.descriptor(watched), events, worker.key(watched)))
  }

  func rewatch(_ worker: Worker, _ watched: Watched, _ events: UInt32) {
    let fd = worker.descriptor(watched)
    if fd >= 0 { _ = lx_epoll_ctl(epoll.raw, EPOLL_CTL_MOD, fd, events, worker.key(watched)) }
  }

  /// Takes a descriptor out of the epoll set and closes it. Its file may live on in another process (a forked child of
  /// the host's), so closing alone would not end the watch.
  func drop(_ worker: Worker, _ watched: Watched) {
    let fd = worker.descriptor(watched)
    guard fd >= 0 else { return }
    _ = lx_epoll_ctl(epoll.raw, EPOLL_CTL_DEL, fd, 0, 0)
    if worker.others.raw >= 0 { _ = lx_epoll_ctl(worker.others.raw, EPOLL_CTL_DEL, fd, 0, 0) }
    worker.close(watched)
  }

  /// What the session is watched for now.
  func watchSession(_ worker: Worker) {
    takeTurn(worker)
    var events: UInt32 = worker.isReading ? EPOLLIN.rawValue : 0
    if worker.lifecycle.phase == .ready && !worker.outbox.isEmpty { events |= EPOLLOUT.rawValue }
    rewatch(worker, .session, events)
  }

  // MARK: Time

  /// Makes sure that the host looks at `worker` when something of it is due.
  func arm(_ worker: Worker) {
    guard let deadline = worker.deadline, deadline < worker.armedAt else { return }
    worker.armedAt = deadline
    timers.add(deadline, worker.id)
    setTimer()
  }

  func setTimer() {
    let earliest = timers.earliest ?? 0
    guard earliest != timerSetTo else { return }
    timerSetTo = earliest
    _ = lx_timerfd_at(timer.raw, earliest)
  }

  // MARK: Events

  /// Tells everybody who sleeps for this worker to look again.
  func wakeWaiters(of worker: Worker) {
    for waiter in worker.waiters where waiter !== ownWaiter { waiter.wake() }
  }

  func push(_ event: Event, of worker: Worker) {
    if event.kind == LAUTER_EVENT_CHANNEL_DATA {
      // It has a bound of its own, its credit, which a great number of empty ones would hardly touch.
      worker.untakenData += 1
      if worker.untakenData == Bounds.untakenData + 1 { watchSession(worker) }
    } else if let message = event.message {
      worker.messageBytes += message.cost
      worker.messageCount += 1
      if !worker.isFull,
        worker.messageBytes > Bounds.untakenBytes || worker.messageCount > Bounds.untakenMessages
      {
        worker.isFull = true
        watchSession(worker)
      }
    }
    queue.push(event)
    wakeWaiters(of: worker)
  }

  /// Bytes that `event` no longer takes up, now that it was taken.
  func settle(_ event: Event) {
    if event.kind == LAUTER_EVENT_DONE { calls[event.call] = nil }
    if event.channel != 0 { settleChannel(event) }
    guard let worker = workers[event.worker] else { return }
    switch event.kind {
    case LAUTER_EVENT_CHANNEL_DATA:
      worker.untakenData -= 1
      if worker.untakenData == Bounds.untakenData { watchSession(worker) }
    case LAUTER_EVENT_STREAM:
      worker.streamBytes -= event.bytes.count + Bounds.eventCost
      worker.streamHead += 1
      if worker.streamHead > 32 && worker.streamHead * 2 > worker.streamEvents.count {
        worker.streamEvents.removeFirst(worker.streamHead)
        worker.streamHead = 0
      }
    case LAUTER_EVENT_DROPPED:
      if event === worker.droppedStdout { worker.droppedStdout = nil }
      if event === worker.droppedStderr { worker.droppedStderr = nil }
    case LAUTER_EVENT_SUSPENDED: if event === worker.suspension { worker.suspension = nil }
    case LAUTER_EVENT_EXITED: workers[worker.id] = nil
    default:
      guard let message = event.message else { return }
      worker.messageBytes -= message.cost
      worker.messageCount -= 1
      if worker.isFull && worker.messageBytes < Bounds.untakenBytes / 2
        && worker.messageCount < Bounds.untakenMessages / 2
      {
        worker.isFull = false
        watchSession(worker)
      }
    }
  }

  /// The next event, doing what is due if none waits.
  package func next() throws(HostError) -> Event? {
    try checkFork()
    return try locked { () throws(HostError) in
      if queue.isEmpty { try dispatch() }
      guard let event = queue.pop() else { return nil }
      settle(event)
      return event
    }
  }

  /// Kills every worker. Nobody uses the host any more.
  package func shutDown() {
    guard isHere else { return }
    lx_mutex_lock(lock)
    defer { lx_mutex_unlock(lock) }
    for worker in workers.values {
      // Without a process namespace it takes a live init to end all, and to wait until they are gone.
      if worker.plan.isGuarded { drop(worker, .control) } else { worker.destroy() }
    }
    // Wait until the kernel is done with each tree, so that "freed" means "gone".
    for worker in workers.values where worker.pidfd != nil {
      var poll = pollfd(fd: worker.pidfd.raw, events: Int16(POLLIN), revents: 0)
      var result = -Int(EINTR)
      while result == -Int(EINTR) { result = lx_poll(&poll, 1, 2_000_000_000) }
      if result == 0 { worker.destroy() }
      _ = claunch_reap(worker.pidfd.raw)
    }
    for worker in workers.values {
      giveBack(worker.groups.groups)
      worker.calls = []
      worker.streamEvents = []
      worker.channels = [:]
      worker.channelsAwaitingRoom = []
      for watched in Watched.allCases { drop(worker, watched) }
    }
    workers = [:]
    calls = [:]
    channels = [:]
    incoming = [:]
    removeGroups()
  }
}

/// What the host keeps at most.
enum Bounds {
  /// Bytes of captured output of one worker that nobody has taken; the oldest are dropped, and the drop is told.
  static let streamBytes = 1 << 20
  /// Bytes and number of messages of one worker that nobody has taken; then its session is not read any further.
  static let untakenBytes = 8 << 20
  static let untakenMessages = 4096
  /// Bytes to one worker that it has not read.
  static let unsentBytes = 64 << 20
  static let stdinBytes = 1 << 20
  /// Answers that a worker has not read; then its session is not read any further.
  static let unreadAnswers = 256
  /// What an event costs besides its bytes: a worker chooses how small it writes.
  static let eventCost = 256
  /// Bytes of a question to the library itself.
  static let question = 1 << 14
  /// Calls of one worker that its host has not answered.
  static let incomingCalls = 1024
  /// Bytes that wait in a channel, besides one message of any size.
  static let channelUnsent = 1 << 20
  /// Bytes of channels in a session's outbox from which on they keep theirs.
  static let channelAhead = 1 << 18
  /// Descriptors of one worker that are under way.
  static let openings = 64
  /// Messages of a worker's channels: their credit counts bytes, and an empty one takes more here than it says.
  static let untakenData = 1 << 17
  static let stderrTail = 4096
  /// Nanoseconds after which our half of an arena gives back what it took up.
  static let arenaIdle: UInt64 = 1_000_000_000
  /// Milliseconds as nanoseconds, cut off at some thirty years, so that no sum of times overflows.
  static func nanoseconds(_ milliseconds: UInt64) -> UInt64 {
    min(milliseconds, 1 << 40) * 1_000_000
  }
  /// One STREAM event grows up to this.
  static let streamEvent = 1 << 16
}

/// What wakes a thread that sleeps for one worker, when another thread did that worker's work.
final class Waiter {
  let fd: OwnedFD
  private var isSet = false

  init(_ eventfd: consuming OwnedFD) {
    eventfd.move(from: Worker.leastDescriptor)
    fd = eventfd
  }

  func wake() {
    guard !isSet else { return }
    isSet = true
    var one: UInt64 = 1
    _ = lx_write(fd.raw, &one, 8)
  }

  func clear() {
    guard isSet else { return }
    isSet = false
    var value: UInt64 = 0
    _ = lx_read(fd.raw, &value, 8)
  }
}
