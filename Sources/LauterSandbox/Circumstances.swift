// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(CSandbox)
  import CSandbox
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// What is known to stand in the way of sandboxes on a machine or around a process. It decides nothing: it is asked when
/// something was refused, to say why and what to do.
package struct Circumstances {
  /// Those whose `user.max_*_namespaces` is 0, as `CLONE_NEW*`.
  package var switchedOff: UInt64 = 0
  /// Debian's `kernel.unprivileged_userns_clone` is 0.
  package var isForRootOnly = false
  /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns` is 1.
  package var isRestrictedByAppArmor = false
  /// The AppArmor profile of this process, if it is confined by one.
  package var appArmorProfile = ""
  /// `vm.memfd_noexec` is 2.
  package var hasNoExecutableMemory = false
  /// A seccomp filter of somebody else's is loaded.
  package var isFiltered = false
  /// The kernel lists its security modules, and Landlock is not among them.
  package var isWithoutLandlock = false
  /// The root is no mount point: the process was put there by chroot(2).
  package var isChrooted = false
  /// What is mounted over entries of /proc.
  package var coversOnProc: [String] = []
  package var hasProc = true
  package var isDumpable = true
  /// Has CAP_SYS_ADMIN.
  package var isPrivileged = false
  package var container = Container.none

  package enum Container: Sendable { case none, docker, podman, other }

  /// Nothing in the way.
  package init() {}

  /// Look at this machine and process.
  package static func here() -> Circumstances {
    var here = Circumstances()
    for kind in NamespaceKind.allCases where setting(kind.knob) == 0 {
      here.switchedOff |= kind.rawValue
    }
    here.isForRootOnly = setting("kernel.unprivileged_userns_clone") == 0
    here.isRestrictedByAppArmor = setting("kernel.apparmor_restrict_unprivileged_userns") == 1
    here.hasNoExecutableMemory = setting("vm.memfd_noexec") == 2
    here.isDumpable = lx_is_dumpable() != 0
    here.isPrivileged = csandbox_has_capability(21) == 1
    let status = text("/proc/self/status")
    here.hasProc = !status.utf8.isEmpty
    here.isFiltered = holds(status, "Seccomp:\t2")
    let profile = text("/proc/self/attr/apparmor/current")
    if !holds(profile, "unconfined") {
      here.appArmorProfile = String(decoding: profile.utf8.prefix { $0 > 0x20 }, as: UTF8.self)
    }
    let modules = text("/sys/kernel/security/lsm")
    here.isWithoutLandlock = !modules.utf8.isEmpty && !holds(modules, "landlock")
    let mounts = MountLine.all()
    if !mounts.isEmpty { here.read(mounts) }
    if HostFile.existing("/run/.containerenv") != nil {
      here.container = .podman
    } else if HostFile.existing("/.dockerenv") != nil {
      here.container = .docker
    } else if HostFile.existing("/run/systemd/container") != nil {
      here.container = .other
    }
    return here
  }

  mutating func read(_ mounts: [MountLine]) {
    isChrooted = true
    for mount in mounts {
      let place = mount.place.utf8
      if place.elementsEqual("/".utf8) { isChrooted = false }
      // That one is an empty folder, over which the kernel lets anyone mount.
      if isAt(0, mount.place, "/proc/") && !holds(mount.place, "binfmt_misc") {
        coversOnProc.append(mount.place)
      }
    }
  }

  /// A number under /proc/sys, by its name as sysctl(8) spells it; nil if there is none.
  static func setting(_ name: StaticString) -> UInt64? {
    var path = Array("/proc/sys/\(name)".utf8)
    for index in path.indices where path[index] == UInt8(ascii: ".") {
      path[index] = UInt8(ascii: "/")
    }
    return number(in: String(decoding: path, as: UTF8.self))
  }

  /// The decimal number that a file begins with; nil if there is none.
  static func number(in path: String) -> UInt64? {
    var value: UInt64?
    for byte in text(path).utf8 {
      let digit = UInt64(byte &- UInt8(ascii: "0"))
      guard digit < 10 else { break }
      let (product, high) = (value ?? 0).multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(digit)
      if high || carry { return UInt64.max }
      value = sum
    }
    return value
  }

  /// A file's text, empty if it cannot be read.
  @inline(never)
  package static func text(_ path: String) -> String {
    String(decoding: HostFile.contents(path, upTo: 1 << 16) ?? [], as: UTF8.self)
  }
}

/// Whether `part` is somewhere in `text`.
@inline(never)
package func holds(_ text: String, _ part: StaticString) -> Bool {
  for place in 0..<text.utf8.count where isAt(place, text, part) { return true }
  return false
}

/// Whether `part` stands at `place` in `text`.
@inline(never)
func isAt(_ place: Int, _ text: String, _ part: StaticString) -> Bool {
  guard place + part.utf8CodeUnitCount <= text.utf8.count else { return false }
  var text = text
  return text.withUTF8 {
    memcmp($0.baseAddress! + place, part.utf8Start, part.utf8CodeUnitCount) == 0
  }
}

/// A line of `/proc/self/mountinfo`.
struct MountLine {
  let place: String
  let type: String

  init(place: String, type: String) {
    self.place = place
    self.type = type
  }

  /// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": any number of fields before the dash.
  init?(_ line: String) {
    let fields = line.utf8.split(separator: UInt8(ascii: " "))
    for index in fields.indices where index > 5 && index + 1 < fields.count {
      if fields[index].count == 1 && fields[index].first == UInt8(ascii: "-") {
        place = String(decoding: fields[4], as: UTF8.self)
        type = String(decoding: fields[index + 1], as: UTF8.self)
        return
      }
    }
    return nil
  }

  static func all() -> [MountLine] {
    let bytes = HostFile.contents("/proc/self/mountinfo", upTo: 1 << 20) ?? []
    var mounts: [MountLine] = []
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      if let mount = MountLine(String(decoding: line, as: UTF8.self)) { mounts.append(mount) }
    }
    return mounts
  }

  /// The type of the file system at `path`, which is resolved: of the last mount that covers it most closely.
  static func type(at path: String, _ mounts: [MountLine]) -> String {
    var found = MountLine(place: "", type: "unknown")
    for mount in mounts where mount.place.utf8.count >= found.place.utf8.count {
      if PolicyPath.isWithin(path, mount.place) { found = mount }
    }
    return found.type
  }
}
