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
  /// Who waits until it may begin.
  var beginners = 0
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

  /// Takes the lock, to be followed by `leave`.
  func enter() throws(SessionError) {
    guard isHere else { throw .forked }
    lx_mutex_lock(lock)
  }

  /// Lets the lock go for good, and sees to it that somebody reads who has reason to.
  func leave() {
    handOver()
    unlock()
  }

  /// Takes the lock again that was let go.
  func relock() { lx_mutex_lock(lock) }

  /// Lets the lock go for a while.
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

  /// How long somebody waits.
  struct Patience {
    let deadline: UInt64
    /// Whether a signal's handler ends it.
    let isInterruptible: Bool
    fileprivate var hasLooked = false

    init(milliseconds: Int64) {
      deadline = WorkerSession.deadline(milliseconds)
      isInterruptible = true
    }

    private init() {
      deadline = .max
      isInterruptible = false
    }

    static var endless: Patience { Patience() }
  }

  /// Sleeps until something has happened, and reads for all meanwhile if nobody else does. With the lock, which is let go
  /// while it sleeps.
  ///
  /// - Returns: false if the time was up.
  func pause(_ patience: inout Patience) throws(SessionError) -> Bool {
    if let error = end.error { throw error }
    var left = WorkerSession.longest
    if patience.deadline != .max {
      let now = lx_now()
      if now >= patience.deadline {
        // Who asks without waiting gets what has come by now.
        if patience.hasLooked || isReading { return false }
        patience.hasLooked = true
        receive()
        return true
      }
      left = Int64(patience.deadline - now)
    }
    patience.hasLooked = true
    let result = isReading ? sleep(left) : read(left)
    if result == -Int(EINTR), patience.isInterruptible { throw .interrupted }
    return true
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
    if serving != nextTicket { wakeSleepers() }
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

  /// The first that is wanted of what arrives; nil if the time was up.
  package func take(_ wanted: Wanted, milliseconds: Int64) throws(SessionError) -> TakenRequest? {
    var patience = Patience(milliseconds: milliseconds)
    try enter()
    defer { leave() }
    flushControl()
    while true {
      if let arrival = arrivals.take(wanted) { return TakenRequest(arrival, self) }
      switch wanted {
      case .any:
        if isStopped {
          stopWasTaken = true
          return TakenRequest(.stop, self)
        }
      case .answer(let id): guard waiting.contains(id) else { throw .staleCall(id) }
      case .channel(let id): _ = try liveChannel(id)
      }
      if try !pause(&patience) { return nil }
    }
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
