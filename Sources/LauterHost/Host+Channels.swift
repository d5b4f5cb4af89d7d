// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// Channels, as the program uses them.
extension Host {
  package func openChannel(
    _ workerId: UInt64, _ outgoing: Outgoing, window: UInt64, cookie: UInt64
  ) throws(HostError) -> UInt64 {
    try checkFork()
    return try locked { () throws(HostError) in
      let worker = try worker(workerId)
      try checkTalks(worker)
      try checkRoom(worker)
      try checkSize(outgoing, worker)
      guard worker.channels.count < Wire.channelsMax else {
        throw HostError(
          LAUTER_ERROR_LIMIT, subject: "\(workerId)",
          "worker \(workerId) has \(Wire.channelsMax) channels that are not over")
      }
      let id = nextChannel
      nextChannel += 1
      let channel = Channel(id: id, wire: id * 2, worker: worker, cookie: cookie)
      worker.channels[channel.wire] = channel
      channels[id] = channel
      send(worker, .open, slot: 0, id: channel.wire, order: channel.order, outgoing)
      grant(channel.credit.open(window: window), channel)
      flush(worker)
      return id
    }
  }

  package func acceptChannel(
    _ id: UInt64, window: UInt64, cookie: UInt64
  ) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      let channel = try liveChannel(id)
      guard channel.credit.window == 0 else {
        throw HostError(
          LAUTER_ERROR_STATE, subject: "\(id)", "channel \(id) was opened or accepted before")
      }
      channel.cookie = cookie
      grant(channel.credit.open(window: window), channel)
      settleNeed(of: channel)
      flush(channel.worker)
    }
  }

  package func sendData(_ id: UInt64, _ outgoing: Outgoing) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      let channel = try liveChannel(id)
      guard !channel.isEnding else {
        throw HostError(
          LAUTER_ERROR_STATE, subject: "\(id)", "channel \(id): this side has ended it")
      }
      let worker = channel.worker
      try checkSize(outgoing, worker)
      let cost =
        UInt64(Message.headSize(of: outgoing.parts.count, outgoing.typeSizes))
        + UInt64(outgoing.bodySize) + Wire.dataCost
      if channel.unsent.isEmpty, worker.outbox.dataSize < Bounds.channelAhead,
        channel.credit.spend(cost)
      {
        return send(worker, .data, slot: 0, id: channel.wire, order: channel.order, outgoing)
      }
      let size = Int(cost - Wire.dataCost)
      guard channel.unsent.isEmpty || channel.unsentBytes + size <= Bounds.channelUnsent else {
        channel.wantsWritable = true
        throw HostError(
          LAUTER_ERROR_LIMIT, subject: "\(id)",
          "channel \(id): the worker has not taken \(channel.unsentBytes) bytes that were sent before; "
            + "send again after its WRITABLE event")
      }
      channel.unsent.append(UnsentData(outgoing))
      channel.unsentBytes += size
      pump(channel)
      flush(channel.worker)
    }
  }

  package func endChannel(_ id: UInt64) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      let channel = try liveChannel(id)
      guard !channel.isEnding else {
        throw HostError(
          LAUTER_ERROR_STATE, subject: "\(id)", "channel \(id): this side has ended it before")
      }
      channel.isEnding = true
      pump(channel)
      flush(channel.worker)
    }
  }

  package func cancelChannel(_ id: UInt64, _ outgoing: Outgoing) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      guard let channel = channels[id] else { throw .staleChannel(id) }
      let worker = channel.worker
      if !channel.isOver, worker.session != nil {
        // Past what waits of it, but not past the rest of its opening: nobody cancels what is not there yet.
        let isOpening = worker.outbox.holds(.open, channel.wire)
        send(
          worker, .cancel, slot: 0, id: channel.wire, order: isOpening ? channel.order : 0, outgoing
        )
      }
      retire(channel)
      // Nobody wants what it brought.
      for event in channel.events[channel.eventsHead...] {
        settle(event)
        queue.void(event)
      }
      channels[id] = nil
      wakeWaiters(of: worker)
    }
  }

  /// Sleeps until there is an event of this channel, and takes it.
  package func receive(_ id: UInt64, milliseconds: Int64) throws(HostError) -> Event {
    try checkFork()
    let channel = try locked { () throws(HostError) -> Channel in
      guard let channel = channels[id] else { throw .staleChannel(id) }
      return channel
    }
    return try sleep(for: channel.worker, milliseconds, until: .channel(channel))!
  }

  /// A channel that is not over.
  private func liveChannel(_ id: UInt64) throws(HostError) -> Channel {
    guard let channel = channels[id], !channel.isOver else { throw .staleChannel(id) }
    return channel
  }

  // MARK: What workers say

  /// Whether a message of a channel is wanted, before memory is taken for it.
  func admit(
    _ header: FrameHeader, channelMessage size: Int, _ worker: Worker
  ) throws(WireError) -> Admission {
    if header.kind == .open { return .keep }
    guard let channel = try channel(header.id, worker) else { return .drop }
    guard header.kind == .data else { return .keep }
    guard !channel.isEndedByWorker else { throw .dataAfterEnd(header.id) }
    try channel.credit.begin(UInt64(size) + Wire.dataCost, on: header.id)
    return .keep
  }

  func opened(_ worker: Worker, _ message: Message) throws(WireError) {
    guard message.id & 1 == 1 else { throw .notOurChannel(message.id) }
    guard message.id > worker.lastChannel else { throw .repeatedChannel(message.id) }
    guard worker.channels.count < Wire.channelsMax else {
      throw .tooManyChannels(Wire.channelsMax)
    }
    worker.lastChannel = message.id
    let channel = Channel(id: nextChannel, wire: message.id, worker: worker, cookie: 0)
    nextChannel += 1
    worker.channels[channel.wire] = channel
    channels[channel.id] = channel
    tell(LAUTER_EVENT_CHANNEL_OPENED, channel, message)
  }

  func data(_ worker: Worker, _ message: Message) throws(WireError) {
    guard let channel = try channel(message.id, worker) else { return }
    guard !channel.isEndedByWorker else { throw .dataAfterEnd(message.id) }
    tell(LAUTER_EVENT_CHANNEL_DATA, channel, message)
  }

  func ended(_ worker: Worker, _ wire: UInt64) throws(WireError) {
    guard let channel = try channel(wire, worker) else { return }
    guard !channel.isEndedByWorker else { throw .dataAfterEnd(wire) }
    channel.isEndedByWorker = true
    tell(LAUTER_EVENT_CHANNEL_END, channel)
    if channel.hasEnded { close(channel) }
  }

  func cancelled(_ worker: Worker, _ message: Message) throws(WireError) {
    guard let channel = try channel(message.id, worker) else { return }
    close(channel, Int32(LAUTER_ERROR_FAILED), message: message)
  }

  func credited(_ worker: Worker, _ wire: UInt64, _ amount: UInt64) throws(WireError) {
    guard let channel = try channel(wire, worker) else { return }
    try channel.credit.granted(amount, on: wire)
    pump(channel)
    flush(worker)
  }

  func needs(_ worker: Worker, _ wire: UInt64, _ amount: UInt64) throws(WireError) {
    guard let channel = try channel(wire, worker) else { return }
    grant(try channel.credit.need(amount, on: wire), channel)
    settleNeed(of: channel)
    flush(worker)
  }

  /// The channel that a frame names; nil if it is over.
  private func channel(_ wire: UInt64, _ worker: Worker) throws(WireError) -> Channel? {
    if let channel = worker.channels[wire] { return channel }
    let was = wire & 1 == 1 ? wire <= worker.lastChannel : wire > 0 && wire / 2 < nextChannel
    guard was else { throw .unknownChannel(wire) }
    return nil
  }

  // MARK: Flow

  /// Hands the session what there is credit and room for.
  private func pump(_ channel: Channel) {
    let worker = channel.worker
    var count = 0
    while count < channel.unsent.count {
      guard worker.outbox.dataSize < Bounds.channelAhead else {
        if !channel.awaitsRoom {
          channel.awaitsRoom = true
          worker.channelsAwaitingRoom.append(channel)
        }
        break
      }
      let data = channel.unsent[count]
      guard channel.credit.spend(data.cost) else {
        if !channel.hasToldNeed {
          channel.hasToldNeed = true
          worker.outbox.append(number(.need, channel, data.cost))
        }
        break
      }
      channel.hasToldNeed = false
      channel.unsentBytes -= data.size
      worker.outbox.append(data.message(channel))
      count += 1
    }
    if count > 0 { channel.unsent.removeFirst(count) }
    if channel.unsent.isEmpty, channel.isEnding, !channel.hasEnded {
      channel.hasEnded = true
      worker.outbox.append(OutgoingMessage(kind: .end, id: channel.wire, order: channel.order))
      if channel.isEndedByWorker { close(channel) }
    }
    if channel.wantsWritable, !channel.isEnding, channel.unsentBytes <= Bounds.channelUnsent / 2 {
      channel.wantsWritable = false
      tell(LAUTER_EVENT_CHANNEL_WRITABLE, channel)
    }
  }

  /// The session has taken what waited: those that waited for room go on, in their turn.
  func pumpChannels(of worker: Worker) {
    while !worker.channelsAwaitingRoom.isEmpty, worker.outbox.dataSize < Bounds.channelAhead {
      let channel = worker.channelsAwaitingRoom.removeFirst()
      channel.awaitsRoom = false
      if !channel.isOver { pump(channel) }
    }
  }

  private func grant(_ amount: UInt64, _ channel: Channel) {
    guard amount > 0 else { return }
    channel.worker.outbox.append(number(.credit, channel, amount))
  }

  private func number(
    _ kind: FrameKind, _ channel: Channel, _ value: UInt64
  ) -> OutgoingMessage {
    var payload: [UInt8] = []
    payload.appendLE(value)
    return OutgoingMessage(kind: kind, id: channel.wire, order: channel.order, head: payload)
  }

  /// Lets through a message that is larger than its window, if the host has memory left for such: as much as one of the
  /// largest takes, of all the worker's channels together.
  private func settleNeed(of channel: Channel) {
    let excess = channel.credit.excessNeeded
    let worker = channel.worker
    guard excess > 0, worker.channelExcess + excess <= Wire.creditMax else { return }
    worker.channelExcess += excess
    grant(channel.credit.allowExcess(), channel)
  }

  /// The program has taken an event of a channel.
  func settleChannel(_ event: Event) {
    guard let channel = channels[event.channel] else { return }
    channel.remove(event)
    if event.kind == LAUTER_EVENT_CHANNEL_CLOSED { channels[channel.id] = nil }
    guard event.channelCost > 0 else { return }
    let worker = channel.worker
    let amount = channel.credit.took(event.channelCost)
    if !channel.isOver { grant(amount, channel) }
    settleNeed(of: channel)
    returnExcess(channel.credit.returnExcess(), worker)
    flush(worker)
  }

  /// Others may wait for that memory.
  private func returnExcess(_ amount: UInt64, _ worker: Worker) {
    guard amount > 0 else { return }
    worker.channelExcess -= amount
    for channel in worker.channels.values { settleNeed(of: channel) }
  }

  // MARK: The end

  private func tell(_ kind: Int, _ channel: Channel, _ message: Message? = nil) {
    let event = Event(kind, of: channel.worker)
    tell(event, channel, message)
  }

  private func tell(_ event: Event, _ channel: Channel, _ message: Message?) {
    event.channel = channel.id
    event.channelCookie = channel.cookie
    event.message = message
    channel.events.append(event)
    push(event, of: channel.worker)
  }

  /// Its last event.
  func close(
    _ channel: Channel, _ status: Int32 = 0, message: Message? = nil, error: HostError? = nil
  ) {
    let event = Event(LAUTER_EVENT_CHANNEL_CLOSED, of: channel.worker)
    event.status = status
    event.error = error
    retire(channel)
    tell(event, channel, message)
  }

  private func retire(_ channel: Channel) {
    guard !channel.isOver else { return }
    channel.isOver = true
    channel.unsent = []
    channel.unsentBytes = 0
    channel.worker.channels[channel.wire] = nil
    var untaken: UInt64 = 0
    for event in channel.events[channel.eventsHead...] { untaken += event.channelCost }
    let excess = channel.credit.excess
    channel.credit.retire(untaken: untaken)
    returnExcess(excess - channel.credit.excess, channel.worker)
  }
}
