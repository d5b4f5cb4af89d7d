// SPDX-License-Identifier: Apache-2.0

/// When each worker wants to be looked at: a binary heap with at most a few entries a worker. Entries are not taken
/// back: one that comes too early finds nothing to do and is set anew.
struct Timers {
  private var heap: [(when: UInt64, worker: UInt64)] = []

  var earliest: UInt64? { heap.first?.when }

  mutating func add(_ when: UInt64, _ worker: UInt64) {
    heap.append((when, worker))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if heap[parent].when <= heap[child].when { return }
      heap.swapAt(parent, child)
      child = parent
    }
  }

  /// A worker whose time has come.
  mutating func popDue(now: UInt64) -> UInt64? {
    guard let first = heap.first, first.when <= now else { return nil }
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].when < heap[least].when {
        least = child
      }
      if least == parent { break }
      heap.swapAt(parent, least)
      parent = least
    }
    return first.worker
  }
}
