// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif
#if canImport(LauterSandbox)
  package import LauterSandbox
#endif

/// For those who import this module alone.
package typealias DoctorFinding = Finding

/// What this machine can enforce for this process, found out by doing it.
package struct Doctor {
  /// A real launch of a preset.
  package struct Trial {
    package var preset: String
    /// What workers of it do without, as their reports list it.
    package var missing = ""
    /// What a spawn says; nil if the program ran.
    package var error: HostError?
  }

  package private(set) var findings: [Finding] = []
  package private(set) var trials: [Trial] = []
  private var failed: [(id: StaticString, root: StaticString)] = []
  private let here: Circumstances

  /// - Parameters:
  ///   - searchPath: the caller's PATH, where the presets' programs are looked for.
  ///   - folders: where the caller might want a worker to read or write.
  package init(searchPath: String?, folders: [String]) {
    here = Circumstances.here()
    do throws(HostError) {
      let host = try Host.make()
      defer { host.shutDown() }
      for probe in host.compiler.probes() { findings.append(examine(probe, host)) }
      findings += host.compiler.findings(here, folders: folders)
      findings.append(try treeMemory(host))
      for preset in ["notebook", "strict", "unconfined"] {
        trials.append(launch(preset, host, searchPath))
      }
    } catch {
      findings = [
        Finding(
          "init", "start a worker's first process", .missing, error.message,
          diagnose(.memory, error.errno, here))
      ]
      trials = ["notebook", "strict", "unconfined"].map { Trial(preset: $0, error: error) }
    }
  }

  /// 0: every preset is enforced in full, and so is every word. 1: every preset can be launched, but something is
  /// missing. 2: a preset cannot be launched.
  package var status: Int32 {
    if trials.contains(where: { $0.error != nil }) { return 2 }
    let isWhole =
      trials.allSatisfy { $0.missing.utf8.isEmpty }
      && findings.allSatisfy { $0.status == .ok || $0.status == .info }
    return isWhole ? 0 : 1
  }

  // MARK: Probes

  private mutating func examine(_ probe: Probe, _ host: Host) -> Finding {
    var finding = probe.finding
    let (detail, diagnosis) = fault(of: probe, host.run(probe))
    guard let detail else {
      if probe.namespaces == 0 && lx_is_sealed(host.initImage.raw) == 0 {
        finding.detail =
          lx_has_name(host.initImage.raw) != 0
          ? "clone, pidfd, execution of the installed copy"
          : "clone, pidfd, execution of a copy in a folder"
      }
      return finding
    }
    finding.status = .missing
    finding.detail = detail
    finding.diagnosis = diagnosis
    failed.append((finding.id, root(of: probe) ?? finding.id))
    return finding
  }

  /// What went wrong, and why; nil if nothing did.
  private func fault(of probe: Probe, _ end: ProbeEnd) -> (String?, Diagnosis?) {
    switch end {
    case .passed: return (nil, nil)
    case .silent: return ("init ended without a word", nil)
    case .notStarted(let error):
      let text = "\(error.call): \(errnoText(error.errno))"
      if let base = missingBase(of: probe) { return (text, base) }
      guard let refusal = LaunchStage.refusal(error, namespaces: probe.namespaces) else {
        return (text, nil)
      }
      return (text, diagnose(refusal, error.errno, here))
    case .failed(let index, let errno):
      guard index >= 0, index < probe.steps.count else {
        return ("init: \(errnoText(errno))", nil)
      }
      let step = probe.steps[index]
      let text = "\(describe(step)): \(errnoText(errno))"
      if index < probe.own, let base = missingBase(of: probe) { return (text, base) }
      return (text, diagnose(.step(step), errno, here))
    }
  }

  /// Where the fault is another finding's.
  private func missingBase(of probe: Probe) -> Diagnosis? {
    root(of: probe).map {
      Diagnosis("something that it needs is missing", "see there", about: "\($0)")
    }
  }

  private func root(of probe: Probe) -> StaticString? {
    for (id, root) in failed where id.isSame(as: probe.base) { return root }
    return nil
  }

  /// Whether the kernel holds the limit of memory, found out by making a group for it.
  private func treeMemory(_ host: Host) throws(HostError) -> Finding {
    var finding = Finding(
      "memory-limit", "limit memory, for all of a worker's processes together", words: "limit", .ok,
      "")
    let policy: Policy
    do throws(PolicyError) { policy = try Policy(preset: "notebook") } catch { return finding }
    do throws(KernelError) {
      let groups = try host.takeGroups(policy)
      if groups.tree.memory == .sum {
        finding.status = .tolerated
        finding.detail = "init adds up what they have, by looking: best effort"
        finding.diagnosis = Diagnosis(
          "no control group with a memory controller may be made here",
          "start the host by systemd-run --user --scope -p Delegate=yes, or as root")
      } else {
        finding.detail = "\(groups.tree.memory.name)"
      }
      host.locked { host.giveBack(groups.groups) }
    } catch {
      finding.status = .missing
      finding.detail = "\(error.call): \(errnoText(error.errno))"
    }
    if host.groupRefusal != 0 {
      finding.detail += "; no control group can be made (\(errnoText(host.groupRefusal)))"
    }
    return finding
  }

  // MARK: Presets

  /// Small programs, one of which every machine has.
  private static let programs = [["true"], ["sh", "-c", "exit"], ["python3", "-c", "pass"]]

  private func launch(_ preset: String, _ host: Host, _ searchPath: String?) -> Trial {
    var trial = Trial(preset: preset)
    for program in Doctor.programs {
      do throws(HostError) {
        let report = try run(program, preset, host, searchPath)
        trial.missing = report.missing
        trial.error =
          report.exitCode == 0 ? nil : HostError(LAUTER_ERROR_DIED, "\(program[0]): \(report.why)")
        return trial
      } catch {
        trial.error = error
        if Int(error.code) != LAUTER_ERROR_NOT_FOUND { return trial }
      }
    }
    return trial
  }

  private func run(
    _ program: [String], _ preset: String, _ host: Host, _ searchPath: String?
  ) throws(HostError) -> Report {
    let policy: Policy
    var launch: Launch
    do throws(PolicyError) {
      policy = try Policy(preset: preset)
      launch = try Launch(kind: "program")
      for argument in program { try launch.set("argument", argument) }
      try launch.set("stdout", "null")
      try launch.set("stderr", "null")
    } catch {
      throw HostError(LAUTER_ERROR_INVALID, subject: error.subject, error.message)
    }
    if let searchPath { launch.searchPath = searchPath }
    let id = try host.spawn(policy, launch, runtimeDirectory: "/", cookie: 0)
    let event = try waitExit(host, id)
    if let error = event.error { throw error }
    return event.report ?? Report()
  }

  private func waitExit(_ host: Host, _ id: UInt64) throws(HostError) -> Event {
    while true {
      do throws(HostError) {
        return try host.waitExit(id, milliseconds: 10_000)
      } catch {
        if Int(error.code) != LAUTER_ERROR_INTERRUPTED { throw error }
      }
    }
  }
}
