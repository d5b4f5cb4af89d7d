// SPDX-License-Identifier: Apache-2.0

import Glibc
import LauterPlan
import Testing

@testable import LauterSandbox

struct DiagnosisTests {
  private func told(
    _ refusal: Refusal, _ errno: Int32, _ change: (inout Circumstances) -> Void = { _ in }
  ) -> String {
    var here = Circumstances()
    change(&here)
    return diagnose(refusal, errno, here)?.sentence ?? ""
  }

  private let all = Refusal.clone(
    namespaces: NamespaceKind.allCases.reduce(0) { $0 | $1.rawValue })

  @Test func `a limit of namespaces is named if it is 0`() {
    for kind in NamespaceKind.allCases {
      let text = told(all, ENOSPC) { $0.switchedOff = kind.rawValue }
      #expect(text.contains("\(kind.knob) is 0; sysctl \(kind.knob)=10000") == false)
      #expect(text.contains("(\(kind.knob) is 0); sysctl \(kind.knob)=10000"), "\(text)")
    }
    #expect(told(all, ENOSPC).contains("as many namespaces as a limit allows"))
    // One that is off but was not asked for is not the cause.
    let user = Refusal.clone(namespaces: NamespaceKind.user.rawValue)
    #expect(
      told(user, ENOSPC) { $0.switchedOff = NamespaceKind.network.rawValue }.contains("as many"))
  }

  @Test func `what keeps user namespaces from ordinary users is named, for them alone`() {
    let debian = told(all, EPERM) { $0.isForRootOnly = true }
    #expect(debian.contains("sysctl kernel.unprivileged_userns_clone=1"))
    let root = told(all, EPERM) {
      $0.isForRootOnly = true
      $0.isPrivileged = true
    }
    #expect(!root.contains("unprivileged_userns_clone"))
    // Ubuntu makes the namespace, and refuses what is done in it.
    let ubuntu = told(.step(.newRoot(size: 1)), EACCES) { $0.isRestrictedByAppArmor = true }
    #expect(ubuntu.contains("kernel.apparmor_restrict_unprivileged_userns=0"))
    #expect(ubuntu.contains("'userns,'"))
  }

  @Test func `a container's refusals are told with what its runtime takes`() {
    let filtered = told(all, EPERM) { $0.isFiltered = true }
    #expect(filtered.contains("--security-opt seccomp=unconfined"))
    #expect(told(all, ENOSYS) { $0.isFiltered = true } == filtered)
    let profile = told(.step(.privateMounts), EACCES) { $0.appArmorProfile = "docker-default" }
    #expect(profile.contains("docker-default") && profile.contains("apparmor=unconfined"))
    let proc = Refusal.step(.proc(path: "/proc", options: "masked"))
    for (container, remedy) in [
      (Circumstances.Container.docker, "systempaths=unconfined"), (.podman, "unmask=ALL"),
      (.other, "procMount: Unmasked"),
    ] {
      let text = told(proc, EPERM) {
        $0.coversOnProc = ["/proc/kcore", "/proc/keys"]
        $0.container = container
      }
      #expect(text.contains("(/proc/kcore and 1 more)") && text.contains(remedy), "\(text)")
    }
    #expect(!told(proc, EPERM).contains("masked"))
  }

  @Test func `what is nobody's refusal has no cause`() {
    #expect(told(.step(.newRoot(size: 1)), ENOMEM).isEmpty)
    #expect(told(.step(.limit(resource: 2, soft: 1, hard: 1)), EINVAL).isEmpty)
    #expect(told(.step(.execute(Execution())), EPERM).isEmpty)
  }

  @Test func `init's image and maps have causes of their own`() {
    #expect(
      told(.image, EACCES) { $0.hasNoExecutableMemory = true }.contains("sysctl vm.memfd_noexec=1"))
    #expect(told(.memory, ENOSYS) { $0.isFiltered = true }.contains("let TMPDIR be a folder"))
    #expect(told(.memory, EPERM).contains("let TMPDIR be a folder"))
    #expect(told(.memory, EACCES) { $0.hasNoExecutableMemory = true }.contains("memfd_noexec"))
    #expect(told(.maps, EACCES) { $0.isDumpable = false }.contains("PR_SET_DUMPABLE"))
    #expect(!told(.maps, EACCES).contains("PR_SET_DUMPABLE"))
  }

  @Test func `landlock's absence is told from its refusal`() {
    var here = Circumstances()
    #expect(here.noLandlock(ENOSYS)?.sentence.contains("Linux 5.13") == true)
    #expect(here.noLandlock(EOPNOTSUPP)?.sentence.contains("lsm=") == true)
    here.isFiltered = true
    #expect(here.noLandlock(ENOSYS)?.sentence.contains("seccomp filter") == true)
    let layers = Refusal.step(.landlock(filesystem: 0, network: 0, scope: 0, rules: []))
    #expect(told(layers, E2BIG).contains("16 layers"))
  }

  @Test func `mounts are read`() throws {
    let lines = [
      "22 27 0:21 / /proc rw,relatime - proc proc rw",
      "27 1 254:0 / / rw,relatime master:1 propagate_from:2 - ext4 /dev/vda rw",
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw",
      "40 22 0:5 / /proc/kcore ro - tmpfs tmpfs ro",
      "41 22 0:6 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw",
    ]
    let mounts = lines.compactMap { MountLine($0) }
    #expect(mounts.count == lines.count)
    #expect(MountLine.type(at: "/home/x", mounts) == "ext4")
    #expect(MountLine.type(at: "/sys/fs/cgroup/a", mounts) == "tmpfs")
    #expect(MountLine.type(at: "/sys/fs/cgroups", mounts) == "ext4")
    #expect(MountLine("22 27 0:21 / /proc rw") == nil && MountLine("") == nil)
    var here = Circumstances()
    here.read(mounts)
    #expect(here.coversOnProc == ["/proc/kcore"] && !here.isChrooted)
    here.read(mounts.filter { $0.place != "/" })
    #expect(here.isChrooted)
  }
}
