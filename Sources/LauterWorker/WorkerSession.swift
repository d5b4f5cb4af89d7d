// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// The worker's side of a session. One lock guards everything in it; nobody holds it while sleeping, or while bytes are copied.
///
/// Of those who wait for something to arrive one reads for all (`reading`), and the others sleep until it has
/// (`changes`). Who sends has its turn for a frame, in the order of asking; what never waits (credit, releases) goes along
/// with whoever sends next, or at once.
package final class WorkerSession: @unchecked Sendable {
  private let lock: UnsafeMutablePointer<lx_mutex>
  /// Reads 1 here and 0 in a forked child, where nothing may be touched.
  private let forkMark: UnsafeMutablePointer<UInt32>
  var socket: OwnedFD
  /// Ends the sleep of a sender for whom another thread read that has stopped to.
  let wake: OwnedFD
  /// The control page; nil if there is none.
  let page: UnsafeRawPointer?
  let buffer: UnsafeMutableRawBufferPointer

  // What arrives.
  var inbox = Inbox(from: .host)
  var end = SessionEnd.open
  var greeting: Greeting?
  var arrivals = Arrivals()
  var isStopped = false

  // Those who wait.
  var isReading = false
  private var sleepers = 0
  /// Counts what happened: a futex.
  private let changes: UnsafeMutablePointer<UInt32>
  /// A sender sleeps and does not read, since another thread does.
  var senderSleeps = false

  // Those who send.
  private var nextTicket: UInt64 = 0
  private var serving: UInt64 = 0
  var isDeaf = false
  /// Frames that wait for no one, and the rest of one that the socket took the beginning of.
  var control: [UInt8] = []
  /// Messages that have begun and not ended, and the bytes of their parts.
  var unfinished: [UnfinishedMessage] = []
  var saidReady = false

  // The arena.
  var arena: ArenaMap?
  var writer: ArenaWriter?
  var returns: PlaceReturns?
  var lent: [LentMemory] = []
  /// When something was last put there.
  var lastPlaced: UInt64 = 0

  // Calls and channels.
  var unanswered: [UInt64] = []
  var waiting: [UInt64] = []
  var nextCall: UInt64 = 1
  var channels: [WorkerChannel] = []
  var nextChannel: UInt64 = 1
  var lastHostChannel: UInt64 = 0

  // For loops: readable while something waits to be taken.
  private var poller: OwnedFD?
  private var pending: OwnedFD?
  private var pendingIsSet = false
  private var stopWasTaken = false
  private var pollsForRoom = false

  private static let bufferSize = 1 << 17

  /// Not a throwing `init`: an object whose making is given up halfway keeps its memory.
  static func make(_ socket: consuming OwnedFD, page: UnsafeRawPointer?) throws(KernelError)
    -> WorkerSession
  {
    let wake = OwnedFD(adopting: Int32(try check("eventfd", lx_eventfd())))
    let mark = lx_fork_mark()
    let lock = lx_mutex_new()
    let memory = lx_malloc(bufferSize)
    guard let mark, let lock, let memory else {
      if let mark { lx_fork_mark_free(mark) }
      if let lock { lx_mutex_free(lock) }
      lx_free(memory)
      throw KernelError(call: "malloc", errno: ENOMEM)
    }
    return WorkerSession(
      socket, wake, page, mark, lock,
      UnsafeMutableRawBufferPointer(start: memory, count: bufferSize))
  }

  private init(
    _ socket: consuming OwnedFD, _ wake: consuming OwnedFD, _ page: UnsafeRawPointer?,
    _ mark: UnsafeMutablePointer<UInt32>, _ lock: UnsafeMutablePointer<lx_mutex>,
    _ buffer: UnsafeMutableRawBufferPointer
  ) {
    self.socket = socket
    self.wake = wake
    self.page = page
    forkMark = mark
    self.lock = lock
    self.buffer = buffer
    changes = .allocate(capacity: 1)
    changes.initialize(to: 0)
  }

  deinit {
    changes.deallocate()
    lx_mutex_free(lock)
    lx_fork_mark_free(forkMark)
    lx_free(buffer.baseAddress)
    if let page { lx_unmap(UnsafeMutableRawPointer(mutating: page), 4096) }
  }

  // MARK: The lock

  /// Whether this is the process that attached.
  var isHere: Bool { lx_fork_mark_read(forkMark) == 1 }

  func locked<R>(_ body: () throws(SessionError) -> R) throws(SessionError) -> R {
    guard isHere else { throw .forked }
    lx_mutex_lock(lock)
    defer { unlock() }
    return try body()
  }

  /// Takes the lock again after `unlocked`.
  func relock() { lx_mutex_lock(lock) }

  func unlock() {
    announcePending()
    lx_mutex_unlock(lock)
  }

  // MARK: Waiting

  /// When a time that is given in milliseconds is up, on the monotonic clock; < 0: never.
  static func deadline(_ milliseconds: Int64) -> UInt64 {
    milliseconds < 0 ? .max : lx_now() + min(UInt64(milliseconds), 1 << 40) * 1_000_000
  }

  private static let longest: Int64 = 1 << 60
  /// How long nobody wants the arena until its memory goes back.
  private static let idle: Int64 = 1_000_000_000

  /// Sleeps until `isDone`, and reads for all meanwhile if nobody else does. With the lock, which is let go while it sleeps.
  ///
  /// - Returns: false if the time was up.
  func wait(
    until deadline: UInt64, interruptible: Bool = true,
    _ isDone: () throws(SessionError) -> Bool
  ) throws(SessionError) -> Bool {
    defer { handOver() }
    var hasLooked = false
    while true {
      if try isDone() { return true }
      if let error = end.error { throw error }
      let now = deadline == .max ? 0 : lx_now()
      if now >= deadline {
        // Who asks without waiting gets what has come by now.
        if hasLooked || isReading { return false }
        hasLooked = true
        receive()
        continue
      }
      hasLooked = true
      let left =
        deadline == .max ? WorkerSession.longest : Int64(min(deadline - now, 1 << 60))
      let result = isReading ? sleep(left) : read(left)
      if result == -Int(EINTR), interruptible { throw .interrupted }
    }
  }

  /// Sleeps until another thread has done something.
  func sleep(_ time: Int64 = WorkerSession.longest) -> Int {
    let seen = changes.pointee
    sleepers += 1
    unlock()
    let result = lx_futex_wait(changes, seen, time)
    relock()
    sleepers -= 1
    return result
  }

  /// Sleeps until something arrives, and takes it in.
  private func read(_ time: Int64) -> Int {
    isReading = true
    let isIdle = writer?.isIdle ?? false
    var poll = pollfd(
      fd: socket.raw, events: Int16(POLLIN | (control.isEmpty ? 0 : POLLOUT)), revents: 0)
    unlock()
    let result = lx_poll(&poll, 1, isIdle ? min(time, WorkerSession.idle) : time)
    relock()
    isReading = false
    if result > 0 {
      flushControl()
      receive()
    } else if result == 0, isIdle, lx_now() - lastPlaced >= UInt64(WorkerSession.idle) {
      writer?.giveBack()
    }
    wakeSleepers()
    return result
  }

  /// Wakes who waits for another thread's doing.
  func wakeSleepers() {
    guard sleepers > 0 else { return }
    changes.pointee &+= 1
    lx_futex_wake_all(changes)
  }

  /// Sees to it that somebody reads who has reason to, when this thread no longer does.
  func handOver() {
    guard !isReading else { return }
    wakeSleepers()
    if senderSleeps {
      var one: UInt64 = 1
      _ = lx_write(wake.raw, &one, 8)
    }
  }

  // MARK: Turns

  /// Waits for the turn to write a frame: those who ask get it one after the other.
  func takeTurn() {
    let ticket = nextTicket
    nextTicket += 1
    while serving != ticket { _ = sleep() }
  }

  func passTurn() {
    serving += 1
    wakeSleepers()
    flushControl()
  }

  /// Sends what waits for no one, unless somebody sends: then that one takes it along.
  func flushControl() {
    guard !control.isEmpty, serving == nextTicket, !isDeaf else { return }
    let sent = control.withUnsafeBufferPointer {
      lx_send_now(socket.raw, $0.baseAddress, $0.count)
    }
    if sent > 0 {
      control.removeFirst(sent)
    } else if sent != -Int(EAGAIN), sent != -Int(EINTR) {
      isDeaf = true
      control = []
    }
  }

  // MARK: Loops

  /// The descriptor for loops, made when it is first asked for.
  package func descriptor() -> Int32 {
    guard isHere else { return -1 }
    lx_mutex_lock(lock)
    defer { unlock() }
    if let raw = poller?.raw { return raw }
    let poll = lx_epoll_create()
    guard poll >= 0 else { return -1 }
    let made = OwnedFD(adopting: Int32(poll))
    let event = lx_eventfd()
    guard event >= 0 else { return -1 }
    let set = OwnedFD(adopting: Int32(event))
    guard lx_epoll_ctl(made.raw, EPOLL_CTL_ADD, socket.raw, EPOLLIN.rawValue, 0) == 0,
      lx_epoll_ctl(made.raw, EPOLL_CTL_ADD, set.raw, EPOLLIN.rawValue, 1) == 0
    else { return -1 }
    let raw = made.raw
    poller = consume made
    pending = consume set
    return raw
  }

  /// Makes the loop's descriptor readable exactly while there is something to take.
  private func announcePending() {
    guard let poll = poller?.raw, let set = pending?.raw else { return }
    let wanted = arrivals.count > 0 || (isStopped && !stopWasTaken)
    if wanted != pendingIsSet {
      pendingIsSet = wanted
      var value: UInt64 = 1
      if wanted { _ = lx_write(set, &value, 8) } else { _ = lx_read(set, &value, 8) }
    }
    let needsRoom = !control.isEmpty && !isDeaf
    if needsRoom != pollsForRoom {
      pollsForRoom = needsRoom
      let events = EPOLLIN.rawValue | (needsRoom ? EPOLLOUT.rawValue : 0)
      _ = lx_epoll_ctl(poll, EPOLL_CTL_MOD, socket.raw, events, 0)
    }
  }

  // MARK: Requests

  /// The next request of those that `take` names; nil if the time was up.
  package func next(_ take: UInt32, milliseconds: Int64) throws(SessionError) -> TakenRequest? {
    try self.take(milliseconds, stops: true) { $0.takers & take != 0 }
  }

  /// The first arrival that fits.
  func take(
    _ milliseconds: Int64, stops: Bool = false, orFail: () throws(SessionError) -> Void = {},
    _ fits: (WorkerArrival) -> Bool
  ) throws(SessionError) -> TakenRequest? {
    let deadline = WorkerSession.deadline(milliseconds)
    var taken: WorkerArrival?
    try locked { () throws(SessionError) in
      flushControl()
      _ = try wait(until: deadline) { () throws(SessionError) in
        taken = arrivals.take(where: fits)
        if taken != nil { return true }
        if stops, isStopped {
          stopWasTaken = true
          taken = .stop
          return true
        }
        try orFail()
        return false
      }
    }
    return taken.map { TakenRequest($0, self) }
  }

  /// Where the host counts how often a call is asked to stop; nil if it does not.
  package func slot(_ request: TakenRequest) -> UnsafeRawPointer? {
    guard let page, let slot = request.arrival.message?.slot, slot > 0 else { return nil }
    return page + Int(slot) * 16
  }

  /// The program is done with a request: what it took up comes back.
  func settle(_ channel: WorkerChannel?, _ size: Int) {
    guard isHere else { return }
    lx_mutex_lock(lock)
    if let channel { settleCredit(channel, size) }
    releaseReturned()
    unlock()
  }

  /// No more of this session.
  package func close() {
    guard isHere else { return }
    lx_mutex_lock(lock)
    end = .closed
    isDeaf = true
    poller = nil
    pending = nil
    socket = OwnedFD(adopting: -1)
    for memory in lent where memory.place == nil { lx_free(memory.address) }
    lent = []
    lx_mutex_unlock(lock)
  }
}
