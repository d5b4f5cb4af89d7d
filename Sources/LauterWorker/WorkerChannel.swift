// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// A channel that is not over.
package final class WorkerChannel {
  let id: UInt64
  var weHaveEnded = false
  var hostHasEnded = false

  /// What we may send.
  var credit: UInt64 = 0
  /// The message for which we said that we need credit.
  var needed: UInt64 = 0
  /// The message whose sender waits for LAUTER_REQUEST_WRITABLE.
  var wanted: UInt64 = 0

  /// What the host is to have under way at most.
  var window: UInt64 = 0
  /// What it may send still.
  var granted: UInt64 = 0
  /// What has arrived and the program is not done with.
  var held: UInt64 = 0
  /// The message for which the host said that it needs credit.
  var hostNeeds: UInt64 = 0

  init(_ id: UInt64) { self.id = id }

  /// A message of the host's begins, of so many bytes of head and parts.
  func charge(_ size: Int) throws(WireError) {
    guard !hostHasEnded else { throw .dataAfterEnd(id) }
    let cost = UInt64(size) + Wire.dataCost
    guard cost <= granted else {
      throw .creditOverrun(channel: id, size: cost, credit: granted)
    }
    granted -= cost
    held += cost
    hostNeeds = 0
  }

  /// The host grants. Whether somebody waits to be told.
  func addCredit(_ amount: UInt64) throws(WireError) -> Bool {
    guard amount <= Wire.creditMax - credit else { throw .tooMuchCredit(id) }
    credit += amount
    if credit >= needed { needed = 0 }
    guard wanted > 0, credit >= wanted else { return false }
    wanted = 0
    return true
  }

  /// What the host is to be granted now; 0: nothing yet. Half a window at once, lest each message cost one of ours.
  func due() -> UInt64 {
    guard !hostHasEnded, window > 0 else { return 0 }
    let room = window > granted + held ? window - granted - held : 0
    // A message that is larger than the window comes when nothing else is there.
    if held == 0, hostNeeds > granted { return max(room, hostNeeds - granted) }
    if hostNeeds > granted, granted + room >= hostNeeds { return room }
    return room >= (window + 1) / 2 ? room : 0
  }
}

extension WorkerSession {
  func channel(_ id: UInt64) -> WorkerChannel? { channels.first { $0.id == id } }

  func liveChannel(_ id: UInt64) throws(SessionError) -> WorkerChannel {
    guard let channel = channel(id) else { throw .staleChannel(id) }
    return channel
  }

  /// A frame of a channel that is over is nothing; of one that never was it is a breach.
  func checkWasChannel(_ id: UInt64) throws(WireError) {
    let was = id % 2 == 0 ? id > 0 && id <= lastHostChannel : id < nextChannel
    guard was else { throw .unknownChannel(id) }
  }

  func opened(_ message: Message) throws(WireError) {
    let id = message.id
    guard id % 2 == 0 else { throw .notOurChannel(id) }
    guard id > lastHostChannel else { throw .repeatedChannel(id) }
    lastHostChannel = id
    channels.append(WorkerChannel(id))
    arrivals.append(WorkerArrival(LAUTER_REQUEST_OPENED, id, message))
  }

  /// The channel is over: the program is told.
  func close(_ channel: WorkerChannel, _ message: Message?) {
    channels.removeAll { $0 === channel }
    arrivals.append(WorkerArrival(LAUTER_REQUEST_CLOSED, channel.id, message))
  }

  // MARK: Credit

  private func grant(_ channel: WorkerChannel) {
    let due = channel.due()
    guard due > 0 else { return }
    channel.granted += due
    if channel.granted >= channel.hostNeeds { channel.hostNeeds = 0 }
    var payload: [UInt8] = []
    payload.appendLE(due)
    appendControl(.credit, id: channel.id, payload: payload)
    flushControl()
  }

  func grantNeeded(_ channel: WorkerChannel, _ amount: UInt64) throws(WireError) {
    guard amount <= Wire.creditMax else { throw .tooMuchCredit(channel.id) }
    channel.hostNeeds = amount
    grant(channel)
  }

  /// The program is done with a message.
  func settleCredit(_ channel: WorkerChannel, _ size: Int) {
    channel.held -= UInt64(size) + Wire.dataCost
    if channels.contains(where: { $0 === channel }) { grant(channel) }
  }

  func checkWindow(_ window: UInt64) throws(SessionError) {
    guard window <= Wire.messageMax else {
      throw SessionError(
        LAUTER_ERROR_INVALID, subject: "window", "\(window) is no window of at most 1 GiB")
    }
  }

  /// - Parameter window: 0 for the usual one.
  private func grant(_ channel: WorkerChannel, window: UInt64) {
    channel.window = window == 0 ? 1 << 20 : window
    grant(channel)
  }

  package func grant(_ id: UInt64, window: UInt64) throws(SessionError) {
    try checkWindow(window)
    try enter()
    defer { leave() }
    grant(try liveChannel(id), window: window)
  }

  // MARK: Steps of sending

  /// Takes credit for a message, as soon as there is enough.
  func takeCredit(_ id: UInt64, _ size: Int, milliseconds: Int64) throws(SessionError) {
    let cost = UInt64(size) + Wire.dataCost
    var patience = Patience(milliseconds: milliseconds)
    while true {
      let channel = try openChannel(id)
      if channel.credit >= cost {
        channel.credit -= cost
        return
      }
      if channel.needed == 0 {
        channel.needed = cost
        var payload: [UInt8] = []
        payload.appendLE(cost)
        appendControl(.need, id: id, payload: payload)
        flushControl()
      }
      if try !pause(&patience) {
        channel.wanted = cost
        throw .timeout
      }
    }
  }

  /// A channel on which we may send.
  func openChannel(_ id: UInt64) throws(SessionError) -> WorkerChannel {
    let channel = try liveChannel(id)
    guard !channel.weHaveEnded else {
      throw SessionError(
        LAUTER_ERROR_STATE, subject: "\(id)", "channel \(id) was ended here")
    }
    return channel
  }

  func newChannel() throws(SessionError) -> UInt64 {
    guard channels.count < Wire.channelsMax else {
      throw SessionError(
        LAUTER_ERROR_LIMIT, subject: "channels",
        "there are \(Wire.channelsMax) channels that are not over")
    }
    let id = nextChannel
    nextChannel += 2
    channels.append(WorkerChannel(id))
    return id
  }

  /// It was opened; it may have been refused by now.
  func granted(_ id: UInt64, window: UInt64) {
    if let channel = channel(id) { grant(channel, window: window) }
  }

  /// We have said that we send no more.
  func ended(_ id: UInt64) {
    guard let channel = channel(id), channel.hostHasEnded else { return }
    close(channel, nil)
    wakeSleepers()
  }

  /// Forgets a channel, and what was not taken of it.
  func drop(_ id: UInt64) throws(SessionError) {
    let channel = try liveChannel(id)
    channels.removeAll { $0 === channel }
    while arrivals.take(.channel(id)) != nil {}
    releaseReturned()
    wakeSleepers()
  }
}
