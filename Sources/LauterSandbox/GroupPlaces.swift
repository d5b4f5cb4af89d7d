// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif

/// Where this process's control groups are: the folders below which groups of its own would lie.
///
/// Read from `/proc/self/cgroup` and `/proc/self/mountinfo`, since a controller may be mounted anywhere, and from a
/// container only a part of the tree is seen.
package struct GroupPlaces: Equatable, Sendable {
  /// Folders of the controllers of version 1; nil where there is none to be seen.
  package var memory: String?
  package var cpu: String?
  package var share: String?
  package var processes: String?
  /// Where groups of version 2 can lie: below the machine's root group, if this process is in that, else beside its own
  /// group. (One that has processes cannot have groups with limits; only the root can.)
  package var unified: String?
  package var isUnifiedRoot = false

  package init() {}

  /// - Parameters:
  ///   - groups: as `/proc/self/cgroup` has them: "4:memory:/path", "0::/path".
  ///   - mounts: as `/proc/self/mountinfo` has them.
  package init(groups: String, mounts: String) {
    for line in mounts.utf8.split(separator: UInt8(ascii: "\n")) {
      guard let mount = GroupMount(line) else { continue }
      for group in groups.utf8.split(separator: UInt8(ascii: "\n")) {
        let fields = group.split(
          separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3, let folder = mount.folder(of: fields[2]) else { continue }
        if mount.isUnified {
          guard fields[1].isEmpty else { continue }
          isUnifiedRoot = fields[2].elementsEqual("/".utf8)
          unified = isUnifiedRoot ? folder : mount.folder(above: folder)
          continue
        }
        for controller in fields[1].split(separator: UInt8(ascii: ",")) {
          guard mount.has(controller) else { continue }
          if controller.elementsEqual("memory".utf8) { memory = folder }
          if controller.elementsEqual("cpuacct".utf8) { cpu = folder }
          if controller.elementsEqual("cpu".utf8) { share = folder }
          if controller.elementsEqual("pids".utf8) { processes = folder }
        }
      }
    }
  }

  /// Look at this process: where it may make groups.
  package static func here() -> GroupPlaces {
    let mounts = HostFile.contents("/proc/self/mountinfo", upTo: 1 << 20) ?? []
    var places = GroupPlaces(
      groups: Circumstances.text("/proc/self/cgroup"),
      mounts: String(decoding: mounts, as: UTF8.self))
    places.memory = writable(places.memory)
    places.cpu = writable(places.cpu)
    places.share = writable(places.share)
    places.processes = writable(places.processes)
    places.unified = writable(places.unified)
    return places
  }

  private static func writable(_ folder: String?) -> String? {
    guard let folder, lx_access(folder, W_OK) == 0 else { return nil }
    return folder
  }
}

/// A line of mountinfo that is of a hierarchy of control groups: "35 31 0:32 /part /sys/fs/cgroup/memory rw - cgroup cgroup
/// rw,memory".
private struct GroupMount {
  /// Which part of the hierarchy is mounted.
  private let root: Substring.UTF8View
  private let place: Substring.UTF8View
  private let options: Substring.UTF8View
  let isUnified: Bool

  init?(_ line: Substring.UTF8View) {
    let fields = line.split(separator: UInt8(ascii: " "))
    guard fields.count >= 9,
      let dash = fields[6...].firstIndex(where: { $0.elementsEqual("-".utf8) }),
      dash + 3 < fields.count
    else { return nil }
    let type = fields[dash + 1]
    isUnified = type.elementsEqual("cgroup2".utf8)
    guard isUnified || type.elementsEqual("cgroup".utf8) else { return nil }
    root = fields[3]
    place = fields[4]
    options = fields[dash + 3]
    // Written with escapes: nobody mounts it at such a place.
    if root.contains(UInt8(ascii: "\\")) || place.contains(UInt8(ascii: "\\")) { return nil }
  }

  func has(_ controller: Substring.UTF8View.SubSequence) -> Bool {
    options.split(separator: UInt8(ascii: ",")).contains { $0.elementsEqual(controller) }
  }

  /// The folder that `folder` is in; nil if it is what is mounted.
  func folder(above folder: String) -> String? {
    guard folder.utf8.count > place.count, let cut = folder.utf8.lastIndex(of: UInt8(ascii: "/"))
    else { return nil }
    return String(decoding: folder.utf8[..<cut], as: UTF8.self)
  }

  /// Where the group at `path` of the hierarchy is seen; nil if it lies outside of what is mounted.
  func folder(of path: Substring.UTF8View) -> String? {
    var rest = path
    if root.count > 1 {
      guard rest.starts(with: root) else { return nil }
      rest = rest.dropFirst(root.count)
      guard rest.isEmpty || rest.first == UInt8(ascii: "/") else { return nil }
    }
    // "/../x": of a namespace of groups that this process has left.
    if rest.starts(with: "/..".utf8) { return nil }
    while rest.last == UInt8(ascii: "/") { rest.removeLast() }
    return String(decoding: place, as: UTF8.self) + String(decoding: rest, as: UTF8.self)
  }
}
