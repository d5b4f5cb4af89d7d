// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  package import LauterPlan
#endif

/// Why something was refused, as far as it can be told, and what a person can do about it.
package struct Diagnosis: Equatable, Sendable {
  package var cause: String
  /// Empty where nothing helps.
  package var remedy: String

  package init(_ cause: String, _ remedy: String = "") {
    self.cause = cause
    self.remedy = remedy
  }

  package var sentence: String { remedy.isEmpty ? cause : cause + "; " + remedy }
}

/// What was refused.
package enum Refusal: Sendable {
  /// Init's image: to make it, or to execute it.
  case image
  /// Init's clone, with these `CLONE_NEW*`.
  case clone(namespaces: UInt64)
  /// The maps of its user and group ids.
  case maps
  /// A step of the plan.
  case step(Step)
}

/// The one table of causes and remedies: what `lauter doctor` prints and what errors of a launch say.
package func diagnose(_ refusal: Refusal, _ errno: Int32, _ here: Circumstances) -> Diagnosis? {
  switch refusal {
  case .image: return here.image(errno)
  case .clone(let namespaces): return here.clone(namespaces, errno)
  case .maps:
    if !here.isDumpable && errno == EACCES {
      // Its files in /proc belong to root then, the id maps among them.
      return Diagnosis(
        "this process changed its user id and is not dumpable",
        "let it call prctl(PR_SET_DUMPABLE, 1) first")
    }
    if errno == ENOENT, !here.hasProc { return .noProc }
    return here.refused("the maps of user ids", errno)
  case .step(let step): return here.step(step, errno)
  }
}

extension Diagnosis {
  static let noProc = Diagnosis("there is no /proc here", "mount /proc where the host runs")
  static let userNamespacesOff = Diagnosis(
    "user namespaces are switched off here (user.max_user_namespaces is 0)",
    "sysctl user.max_user_namespaces=10000 allows them")
  static let ordinaryUserNamespacesOff = Diagnosis(
    "user namespaces are kept from ordinary users here (kernel.unprivileged_userns_clone is 0)",
    "sysctl kernel.unprivileged_userns_clone=1 allows them")
}

extension Circumstances {
  fileprivate func image(_ errno: Int32) -> Diagnosis? {
    if errno == ENOENT, !hasProc { return .noProc }
    if errno == EACCES || errno == EPERM, memfdNoexec == 2 {
      return Diagnosis(
        "vm.memfd_noexec is 2, so init cannot be executed from memory, and its installed copy cannot be executed either",
        "install lauter/lauter-init beside the library, on a file system without noexec; "
          + "or sysctl vm.memfd_noexec=1")
    }
    return refused("the execution of init's image", errno)
  }

  fileprivate func clone(_ namespaces: UInt64, _ errno: Int32) -> Diagnosis? {
    let wantsUser = namespaces & NamespaceKind.user.rawValue != 0
    switch errno {
    // EUSERS is what ENOSPC was before Linux 4.9.
    case ENOSPC, EUSERS:
      for kind in NamespaceKind.allCases
      where namespaces & kind.rawValue != 0 && limit(of: kind) == 0 {
        if kind == .user { return .userNamespacesOff }
        return Diagnosis(
          "\(kind.name) namespaces are switched off here (\(kind.knob) is 0)",
          "sysctl \(kind.knob)=10000 allows them")
      }
      return Diagnosis(
        "there are as many namespaces as a limit allows, of this user here or of one outside this container, "
          + "or they are nested too deep",
        "raise the limits user.max_*_namespaces by sysctl, or end what holds namespaces")
    case EAGAIN:
      return Diagnosis(
        "there are as many processes as a limit allows",
        "raise the limit of processes (ulimit -u), or the container's (docker and podman: --pids-limit)"
      )
    case ENOMEM:
      return Diagnosis(
        "there is no memory left, or this process namespace is ending", "free memory")
    case EINVAL:
      return Diagnosis(
        "this kernel was built without one of these: \(namespaceNames(namespaces)) namespaces",
        "run a kernel that has them, as every distribution's does")
    case EPERM where wantsUser && ordinaryUserNamespaces == 0 && !isPrivileged:
      return .ordinaryUserNamespacesOff
    case EPERM where wantsUser && isChrooted:
      return Diagnosis(
        "this process lives in a chroot, where the kernel makes no user namespace",
        "enter that folder by pivot_root as containers do, or run the host outside")
    case EPERM where !wantsUser && !isPrivileged:
      return Diagnosis(
        "namespaces without one of users take CAP_SYS_ADMIN", "run the host as root or without it")
    default:
      return refused("new namespaces", errno)
    }
  }

  fileprivate func step(_ step: Step, _ errno: Int32) -> Diagnosis? {
    switch step {
    case .proc:
      if errno == EPERM, !coversOnProc.isEmpty || !hasProc {
        return Diagnosis(
          hasProc
            ? "this process sees a /proc that is itself masked (\(coversOnProc[0])"
              + (coversOnProc.count > 1 ? " and \(coversOnProc.count - 1) more" : "")
              + "), and the kernel gives no fuller one"
            : "there is no /proc here, and the kernel gives none to those who have none",
          hasProc ? unmasking : "mount /proc where the host runs")
      }
      return mounting(errno)
    case .privateMounts, .openTree, .adoptTree, .newRoot, .directory, .file, .symlink, .tmpfs,
      .attach, .mask, .devpts, .enterRoot, .readOnlyRoot, .readOnly:
      return mounting(errno)
    case .hostname, .loopback, .identity, .dropPrivilege:
      return refused("what init does with its own namespaces", errno)
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
          "there is no usable \(path) where the host runs", "mount devpts there, with ptmxmode=666")
      default: return refused("pseudo-terminals", errno)
      }
    case .limit(let resource, _, _):
      guard errno == EPERM else { return nil }
      return Diagnosis(
        "this process may have less of it (\(limitName(resource))) than the policy gives",
        "raise the hard limit of the host (ulimit -H), or lower the policy's --limit")
    case .landlock:
      if errno == E2BIG {
        return Diagnosis(
          "this process is restricted by 16 layers of Landlock already",
          "start the host below fewer of them")
      }
      return noLandlock(errno)
    case .seccomp:
      if errno == EINVAL {
        return Diagnosis(
          "this kernel was built without seccomp filters", "run a kernel with CONFIG_SECCOMP_FILTER"
        )
      }
      return refused("a seccomp filter", errno)
    case .execute: return nil
    }
  }

  private func mounting(_ errno: Int32) -> Diagnosis? {
    if errno == EPERM || errno == EACCES || errno == ENOSYS { return refused("mounts", errno) }
    return nil
  }

  /// Why Landlock is not there.
  package func noLandlock(_ errno: Int32) -> Diagnosis? {
    if errno == EOPNOTSUPP || hasLandlockModule == false {
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
    guard errno == EPERM || errno == EACCES || errno == ENOSYS else { return nil }
    if errno != ENOSYS, appArmorRestriction == 1, !isPrivileged {
      return Diagnosis(
        "AppArmor takes the privilege from ordinary users' namespaces here "
          + "(kernel.apparmor_restrict_unprivileged_userns is 1)",
        "give the host's program an AppArmor profile with the rule 'userns,'; or "
          + "sysctl kernel.apparmor_restrict_unprivileged_userns=0")
    }
    if let appArmorProfile, errno != ENOSYS {
      return Diagnosis(
        "the AppArmor profile \(appArmorProfile) may refuse \(what)",
        container == nil
          ? "allow it userns, mount, umount and pivot_root"
          : "run the container with --security-opt apparmor=unconfined"
            + (isFiltered ? " --security-opt seccomp=unconfined" : ""))
    }
    if isFiltered {
      return Diagnosis(
        "a seccomp filter around this process refuses \(what)"
          + (container == nil ? "" : ", as a container runtime's does"),
        "let it pass: docker and podman run with --security-opt seccomp=unconfined, or a profile that allows clone, "
          + "unshare, mount, pivot_root and their kin; a systemd unit without RestrictNamespaces= and SystemCallFilter="
      )
    }
    if errno == ENOSYS {
      return Diagnosis(
        "this kernel, or what stands in for one, does not know \(what)", "run Linux 5.14 or later")
    }
    return Diagnosis(
      "a security module or the container around this process refuses \(what)",
      "look into the kernel's log for what refused it (dmesg), or run the host outside the container"
    )
  }

  /// How to have a whole /proc.
  private var unmasking: String {
    switch container {
    case .docker: "run the container with --security-opt systempaths=unconfined"
    case .podman: "run the container with --security-opt unmask=ALL"
    default:
      "have the container made with a whole /proc: docker run --security-opt systempaths=unconfined, "
        + "podman run --security-opt unmask=ALL, Kubernetes procMount: Unmasked"
    }
  }
}
