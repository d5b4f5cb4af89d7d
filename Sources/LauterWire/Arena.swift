// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif

/// Bytes in the arena, by their offset in its file.
package struct Place: Equatable, Sendable {
  package var offset: UInt64
  package var size: UInt64

  package static let encodedSize = 16

  package init(offset: UInt64, size: UInt64) {
    self.offset = offset
    self.size = size
  }

  /// The places that a payload names: one or more whole ones.
  package static func decode(_ payload: UnsafeRawBufferPointer) throws(WireError) -> [Place] {
    guard payload.count > 0, payload.count % encodedSize == 0 else { throw .badPlaces }
    var places: [Place] = []
    places.reserveCapacity(payload.count / encodedSize)
    for at in stride(from: 0, to: payload.count, by: encodedSize) {
      places.append(
        Place(
          offset: UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: at, as: UInt64.self)),
          size: UInt64(
            littleEndian: payload.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self))))
    }
    return places
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendLE(offset)
    bytes.appendLE(size)
  }
}

/// The arena's memory, mapped as long as somebody holds this.
package final class ArenaMap: @unchecked Sendable {  // nothing in it changes
  package let memory: UnsafeMutableRawPointer
  /// Of each half.
  package let half: UInt64

  /// Maps the file of an arena whose halves have `half` bytes; nil if that may not be. Our own half can be written, the
  /// other one read alone.
  package static func map(_ descriptor: Int32, half: UInt64, writesFirst: Bool) -> ArenaMap? {
    guard let memory = lx_map_arena(descriptor, Int(half), writesFirst ? 1 : 0) else { return nil }
    return ArenaMap(memory, half)
  }

  private init(_ memory: UnsafeMutableRawPointer, _ half: UInt64) {
    self.memory = memory
    self.half = half
  }

  deinit { lx_unmap(memory, Int(half) * 2) }

  package func bytes(_ place: Place) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: memory + Int(place.offset), count: Int(place.size))
  }
}

/// The half that the other side writes.
package struct ArenaReader {
  package let map: ArenaMap
  /// Where the half begins.
  package let start: UInt64
  /// Whole parts are left where they are, and their places come back here; nil: all is copied.
  package let returns: PlaceReturns?
  /// Who reads, for `returns`.
  package let owner: UInt64

  package init(_ map: ArenaMap, start: UInt64, returns: PlaceReturns? = nil, owner: UInt64 = 0) {
    self.map = map
    self.start = start
    self.returns = returns
    self.owner = owner
  }

  package func check(_ place: Place) throws(WireError) {
    guard place.size > 0, place.size <= map.half, place.offset >= start,
      place.offset - start <= map.half - place.size
    else { throw .placeOutside(place) }
  }
}

/// The half that this side writes, and what of it the other one has not released.
package final class ArenaWriter {
  private let map: ArenaMap
  private let start: UInt64
  /// In the order of their offsets.
  private var taken: [Place] = []
  /// As far as this half was written since it was given back.
  private var touched: UInt64 = 0

  package init(_ map: ArenaMap, start: UInt64) {
    self.map = map
    self.start = start
  }

  /// Places are aligned for any type of element, and for the processor's cache.
  private static let alignment: UInt64 = 64

  /// Room for `size` bytes, as low as there is any: what was used last is in the cache still. Nil if there is none.
  package func take(_ size: UInt64) -> Place? {
    guard let (place, index) = gap(size) else { return nil }
    taken.insert(place, at: index)
    touched = max(touched, place.offset - start + size)
    return place
  }

  package func hasRoom(_ size: UInt64) -> Bool { gap(size) != nil }

  /// The first gap that is large enough, and where it stands among the places.
  private func gap(_ size: UInt64) -> (place: Place, index: Int)? {
    guard size > 0, size <= map.half else { return nil }
    var offset = start
    var index = 0
    // An aligned end may lie beyond the next place's beginning.
    while index < taken.count, taken[index].offset < offset + size {
      let end = taken[index].offset + taken[index].size
      offset = (end + ArenaWriter.alignment - 1) & ~(ArenaWriter.alignment - 1)
      index += 1
    }
    // Behind the last one the end is the half's.
    guard offset + size <= start + map.half else { return nil }
    return (Place(offset: offset, size: size), index)
  }

  /// Puts bytes there; nil if there is no room.
  ///
  /// - Parameter stays: whether they are read while they are in the cache still.
  package func put(_ bytes: UnsafeRawBufferPointer, stays: Bool = true) -> Place? {
    guard let place = take(UInt64(bytes.count)) else { return nil }
    if stays {
      map.bytes(place).copyMemory(from: bytes)
    } else {
      lx_copy_past_cache(map.bytes(place).baseAddress, bytes.baseAddress, bytes.count)
    }
    return place
  }

  /// The memory of a place of ours, to be written.
  package func bytes(_ place: Place) -> UnsafeMutableRawBufferPointer { map.bytes(place) }

  package func release(_ place: Place) throws(WireError) {
    guard let index = index(of: place) else { throw .neverPlaced(place) }
    taken.remove(at: index)
  }

  private func index(of place: Place) -> Int? {
    var low = 0
    var high = taken.count
    while low < high {
      let middle = (low + high) / 2
      if taken[middle].offset < place.offset { low = middle + 1 } else { high = middle }
    }
    return low < taken.count && taken[low] == place ? low : nil
  }

  /// Whether the other side has it still.
  package func isTaken(_ place: Place) -> Bool { index(of: place) != nil }

  /// Makes several places of one, from its beginning on; what is left of it is free.
  package func cut(_ place: Place, into pieces: [Place]) {
    guard let index = index(of: place) else { return }
    taken.replaceSubrange(index...index, with: pieces)
  }

  /// Whether it has memory that nobody needs now.
  package var isIdle: Bool { taken.isEmpty && touched > 0 }

  /// Gives that memory back to the system.
  package func giveBack() {
    guard isIdle else { return }
    lx_remove_pages(map.memory + Int(start), Int(touched))
    touched = 0
  }
}

/// Where places come back that were read in place, by whichever thread is done with them.
package final class PlaceReturns: @unchecked Sendable {  // guarded by its own lock
  package typealias Returned = (owner: UInt64, place: Place)
  private let lock: UnsafeMutablePointer<lx_mutex>
  /// Readable when something has come back: an eventfd; -1: nobody polls.
  package let descriptor: Int32
  private var returned: [Returned] = []

  /// Owns the descriptor. Nil if there is no memory.
  package static func make(_ descriptor: Int32) -> PlaceReturns? {
    guard let lock = lx_mutex_new() else { return nil }
    return PlaceReturns(lock, descriptor)
  }

  private init(_ lock: UnsafeMutablePointer<lx_mutex>, _ descriptor: Int32) {
    self.lock = lock
    self.descriptor = descriptor
  }

  deinit {
    lx_mutex_free(lock)
    if descriptor >= 0 { _ = lx_close(descriptor) }
  }

  fileprivate func add(_ owner: UInt64, _ place: Place) {
    lx_mutex_lock(lock)
    returned.append((owner, place))
    lx_mutex_unlock(lock)
    var one: UInt64 = 1
    if descriptor >= 0 { _ = lx_write(descriptor, &one, 8) }
  }

  /// What came back since the last time.
  package func take() -> [Returned] {
    lx_mutex_lock(lock)
    defer { lx_mutex_unlock(lock) }
    var value: UInt64 = 0
    if descriptor >= 0, !returned.isEmpty { _ = lx_read(descriptor, &value, 8) }
    let all = returned
    returned = []
    return all
  }
}

/// Keeps a part that lies in the arena, and gives its place back at its end.
final class PlaceKeeper {
  private let map: ArenaMap
  private let owner: UInt64
  private let place: Place
  private let returns: PlaceReturns

  init(_ place: Place, _ reader: ArenaReader, _ returns: PlaceReturns) {
    map = reader.map
    owner = reader.owner
    self.place = place
    self.returns = returns
  }

  deinit { returns.add(owner, place) }
}
