// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  package import LauterPlan
#endif

/// Why something was refused, as far as it can be told, and what a person can do about it.
package struct Diagnosis: Sendable {
  private let what: StaticString
  /// What it is about, in brackets; "" for nothing.
  private let about: String
  /// "" where nothing helps.
  package let remedy: StaticString

  @inline(never)
  package init(_ what: StaticString, _ remedy: StaticString, about: String = "") {
    self.what = what
    self.remedy = remedy
    self.about = about
  }

  package var cause: String { about.utf8.isEmpty ? "\(what)" : "\(what) (\(about))" }

  package var sentence: String {
    remedy.utf8CodeUnitCount == 0 ? cause : cause + "; \(remedy)"
  }
}

extension Diagnosis: Equatable {
  package static func == (a: Diagnosis, b: Diagnosis) -> Bool {
    a.sentence.utf8.elementsEqual(b.sentence.utf8)
  }
}

/// What was refused.
package enum Refusal: Sendable {
  /// A file in memory, and what would stand in for it.
  case memory
  /// Init's execution.
  case image
  /// Init's clone, with these `CLONE_NEW*`.
  case clone(namespaces: UInt64)
  /// The maps of its user and group ids.
  case maps
  /// To keep the capabilities that it needs across its execution.
  case capabilities
  /// A step of the plan.
  case step(Step)
}

/// The one table of causes and remedies: what `lauter doctor` prints and what errors of a launch say.
package func diagnose(_ refusal: Refusal, _ errno: Int32, _ here: Circumstances) -> Diagnosis? {
  switch refusal {
  case .memory, .image:
    if errno == ENOENT, !here.hasProc { return .noProc }
    if errno == EACCES || errno == EPERM, here.hasNoExecutableMemory {
      return Diagnosis(
        "vm.memfd_noexec is 2, so init cannot be executed from memory, nor from a file that is installed or could be made",
        """
        install lauter/lauter-init beside the library, on a file system without noexec, or \
        sysctl vm.memfd_noexec=1
        """)
    }
    if case .memory = refusal, [ENOSYS, EPERM, EACCES].contains(errno) {
      return Diagnosis(
        "memfds are refused here, and no file can stand in for them",
        """
        install lauter/lauter-init beside the library, and let TMPDIR be a folder that can be written, without noexec; \
        or let memfd_create pass
        """)
    }
    return here.refused("the execution of init", errno)
  case .clone(let namespaces): return here.clone(namespaces, errno)
  case .maps:
    if !here.isDumpable && errno == EACCES {
      // Its files in /proc belong to root then, the id maps among them.
      return Diagnosis(
        "this process changed its user id and is not dumpable",
        "let it call prctl(PR_SET_DUMPABLE, 1) first")
    }
    if errno == ENOENT, !here.hasProc { return .noProc }
    return here.refused("maps of user ids", errno)
  case .capabilities: return here.refused("capabilities in a sandbox's own namespaces", errno)
  case .step(let step): return here.step(step, errno)
  }
}

extension Diagnosis {
  static let noProc = Diagnosis("there is no /proc here", "mount /proc where the host runs")
  static let ordinaryUserNamespacesOff = Diagnosis(
    "user namespaces are kept from ordinary users here (kernel.unprivileged_userns_clone is 0)",
    "sysctl kernel.unprivileged_userns_clone=1 allows them")

  /// A limit is 0.
  static func switchedOff(_ kind: NamespaceKind) -> Diagnosis {
    let remedy: StaticString =
      switch kind {
      case .user: "sysctl user.max_user_namespaces=10000 allows them"
      case .process: "sysctl user.max_pid_namespaces=10000 allows them"
      case .mount: "sysctl user.max_mnt_namespaces=10000 allows them"
      case .network: "sysctl user.max_net_namespaces=10000 allows them"
      case .ipc: "sysctl user.max_ipc_namespaces=10000 allows them"
      case .uts: "sysctl user.max_uts_namespaces=10000 allows them"
      case .cgroup: "sysctl user.max_cgroup_namespaces=10000 allows them"
      }
    return Diagnosis("namespaces are switched off here", remedy, about: "\(kind.knob) is 0")
  }
}

extension Circumstances {
  fileprivate func clone(_ namespaces: UInt64, _ errno: Int32) -> Diagnosis? {
    let wantsUser = namespaces & NamespaceKind.user.rawValue != 0
    switch errno {
    // EUSERS is what ENOSPC was before Linux 4.9.
    case ENOSPC, EUSERS:
      for kind in NamespaceKind.allCases where namespaces & switchedOff & kind.rawValue != 0 {
        return .switchedOff(kind)
      }
      return Diagnosis(
        "there are as many namespaces as a limit allows, here or outside this container, or they are nested too deep",
        "raise the limits user.max_*_namespaces by sysctl, or end what holds namespaces")
    case EAGAIN:
      return Diagnosis(
        "there are as many processes as a limit allows",
        "raise it: the user's (ulimit -u), the service's (TasksMax=) or the container's (--pids-limit)"
      )
    case ENOMEM:
      return Diagnosis(
        "there is no memory left, or this process namespace is ending", "free memory")
    case EINVAL:
      return Diagnosis(
        "this kernel was built without one of these namespaces",
        "run a kernel that has them, as every distribution's does",
        about: namespaceNames(namespaces))
    case EPERM where wantsUser && isForRootOnly && !isPrivileged: return .ordinaryUserNamespacesOff
    case EPERM where wantsUser && isChrooted:
      return Diagnosis(
        "this process lives in a chroot, where the kernel makes no user namespace",
        "enter that folder by pivot_root, as containers do, or run the host outside")
    default: return refused("new namespaces", errno)
    }
  }

  fileprivate func step(_ step: Step, _ errno: Int32) -> Diagnosis? {
    switch step {
    case .proc where errno == EPERM && !hasProc:
      return Diagnosis(
        "there is no /proc here, and the kernel gives none to those who have none",
        "mount /proc where the host runs")
    case .proc where errno == EPERM && !coversOnProc.isEmpty:
      var about = coversOnProc[0]
      if coversOnProc.count > 1 { about += " and \(coversOnProc.count - 1) more" }
      return Diagnosis(
        "the /proc of this process is itself masked, and the kernel gives no fuller one", unmasking,
        about: about)
    case .proc, .privateMounts, .openTree, .adoptTree, .newRoot, .directory, .file, .symlink,
      .tmpfs, .attach, .mask, .devpts, .enterRoot, .readOnlyRoot, .readOnly:
      return refused("mounts", errno)
    case .hostname, .loopback, .identity, .dropPrivilege:
      return refused("capabilities in a sandbox's own namespaces", errno)
    case .terminal(let path, _, _):
      switch errno {
      case EMFILE:
        return Diagnosis(
          "the host has no number free for another descriptor",
          "raise the host's limit of open files (ulimit -n), or give a worker no terminal")
      case ENOSPC:
        return Diagnosis(
          "there are as many pseudo-terminals as the machine allows",
          "raise kernel.pty.max by sysctl, or end what holds terminals")
      case ENOENT, ENXIO, ENODEV, EACCES:
        return Diagnosis(
          "there is no usable one where the host runs", "mount devpts there, with ptmxmode=666",
          about: path)
      default: return refused("pseudo-terminals", errno)
      }
    case .limit(let resource, _, _):
      guard errno == EPERM else { return nil }
      return Diagnosis(
        "this process may have less of it than the policy gives",
        "raise the host's hard limit (ulimit -H), or lower the policy's with --limit",
        about: limitName(resource))
    case .landlock:
      if errno == E2BIG {
        return Diagnosis(
          "this process is restricted by 16 layers of Landlock already",
          "start the host below fewer of them")
      }
      return noLandlock(errno)
    case .seccomp:
      if errno == EBUSY {
        return Diagnosis(
          "a seccomp filter around the host has a listener, and the kernel gives no second",
          "say --violations tell: calls are refused then, and not told")
      }
      if errno == EINVAL {
        return Diagnosis(
          "this kernel was built without seccomp filters",
          "run a kernel with CONFIG_SECCOMP_FILTER")
      }
      return refused("a seccomp filter", errno)
    default: return nil
    }
  }

  /// Why Landlock is not there.
  func noLandlock(_ errno: Int32) -> Diagnosis? {
    if errno == EOPNOTSUPP || isWithoutLandlock {
      return Diagnosis(
        "Landlock is not among this kernel's security modules",
        "add landlock to the list of the boot parameter lsm=")
    }
    if errno == ENOSYS && !isFiltered {
      return Diagnosis(
        "this kernel has no Landlock",
        "run Linux 5.13 or later, built with CONFIG_SECURITY_LANDLOCK")
    }
    return refused("Landlock", errno)
  }

  /// What generally stands between a process and `what`.
  fileprivate func refused(_ what: String, _ errno: Int32) -> Diagnosis? {
    if errno == EPERM || errno == EACCES {
      if isRestrictedByAppArmor && !isPrivileged {
        return Diagnosis(
          """
          AppArmor takes the privilege from ordinary users' namespaces here \
          (kernel.apparmor_restrict_unprivileged_userns is 1)
          """,
          """
          give the host's program an AppArmor profile with the rule 'userns,', or \
          sysctl kernel.apparmor_restrict_unprivileged_userns=0
          """)
      }
      if !appArmorProfile.utf8.isEmpty {
        return Diagnosis(
          "an AppArmor profile is around this process, and may refuse it",
          """
          let it allow userns, mount, umount and pivot_root; \
          in a container: --security-opt apparmor=unconfined --security-opt seccomp=unconfined
          """,
          about: appArmorProfile)
      }
    } else if errno != ENOSYS {
      return nil
    }
    if isFiltered {
      return Diagnosis(
        "a seccomp filter around this process refuses it, as container runtimes' do",
        """
        let it pass: --security-opt seccomp=unconfined for docker and podman, or a profile that allows clone, unshare, \
        mount, pivot_root and their kin; a systemd unit without RestrictNamespaces= and SystemCallFilter=
        """,
        about: what)
    }
    if errno == ENOSYS {
      return Diagnosis(
        "this kernel, or what stands in for one, does not know it", "run Linux 5.12 or later",
        about: what)
    }
    return Diagnosis(
      "a security module or the container around this process refuses it",
      "look into the kernel's log for what did (dmesg), or run the host outside the container",
      about: what)
  }

  /// How to have a whole /proc.
  private var unmasking: StaticString {
    switch container {
    case .docker: "run the container with --security-opt systempaths=unconfined"
    case .podman: "run the container with --security-opt unmask=ALL"
    default:
      """
      have the container made with a whole one: docker run --security-opt systempaths=unconfined, \
      podman run --security-opt unmask=ALL, Kubernetes procMount: Unmasked
      """
    }
  }
}
