// SPDX-License-Identifier: Apache-2.0

import Foundation
import LauterPlan
import LauterPolicy
import Testing

@testable import LauterSandbox

@Suite struct GroupTests {
  private let hybrid = """
    31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
    35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
    39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
    40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
    41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
    """

  @Test
  func `each controller of version 1 is found where it is mounted, and one's own group in it`() {
    let places = GroupPlaces(
      groups: "9:name=systemd:/\n8:pids:/\n4:memory:/a/b\n2:cpu,cpuacct:/x\n0::/\n", mounts: hybrid)
    #expect(places.memory == "/sys/fs/cgroup/memory/a/b")
    #expect(places.cpu == "/sys/fs/cgroup/cpu,cpuacct/x")
    #expect(places.share == places.cpu)
    #expect(places.processes == "/sys/fs/cgroup/pids")
    #expect(places.unified == "/sys/fs/cgroup/unified")
    #expect(places.isUnifiedRoot)
  }

  @Test func `groups of version 2 lie beside one's own`() {
    let mounts = "25 20 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
    let places = GroupPlaces(groups: "0::/user.slice/app.slice/x.scope\n", mounts: mounts)
    #expect(places.unified == "/sys/fs/cgroup/user.slice/app.slice")
    #expect(!places.isUnifiedRoot)
    #expect(places.memory == nil && places.cpu == nil && places.processes == nil)
  }

  @Test func `of a container's view only what is mounted there counts`() {
    func memory(_ path: String, _ root: String) -> String? {
      GroupPlaces(
        groups: "4:memory:\(path)\n", mounts: "35 31 0:32 \(root) /mnt ro - cgroup cgroup rw,memory"
      ).memory
    }
    #expect(memory("/docker/abc/x", "/docker/abc") == "/mnt/x")
    #expect(memory("/docker/abc", "/docker/abc") == "/mnt")
    #expect(memory("/docker/abcd", "/docker/abc") == nil)
    #expect(memory("/other", "/docker/abc") == nil)
    #expect(memory("/../other", "/") == nil)
  }

  @Test func `nothing is found in nothing, and in what is no line of these files`() {
    #expect(GroupPlaces(groups: "", mounts: hybrid) == GroupPlaces())
    #expect(GroupPlaces(groups: "4:memory:/", mounts: "") == GroupPlaces())
    #expect(
      GroupPlaces(groups: "4\n:\n::\nmemory", mounts: "1 2 3 - cgroup\n- - - - - - - - -\n\n")
        == GroupPlaces())
  }

  @Test func `a group's name tells whose it is`() {
    let owner = GroupOwner(namespace: 4_026_531_836, pid: 7)
    #expect(owner.name(3) == "lauter-4026531836-7-3")
    #expect(GroupOwner(name: owner.name(3)) == owner)
    for name in [
      "", "lauter", "lauter-1-2", "lauter-1-2-3-4", "lauter-1-x-3", "lauter-1--3", "other-1-2-3",
      "lauter-1-2-99999999999999999999", "lauter-1-0-3", "lauter-1-2147483648-3",
    ] {
      #expect(GroupOwner(name: name) == nil, "\(name)")
    }
  }

  @Test func `a sweep takes away the groups of the dead of one's own namespace alone`() throws {
    let folder = TemporaryFolder()
    let me = try #require(GroupOwner.here())
    #expect(me.pid == UInt64(getpid()))
    // No kernel gives such a pid.
    let dead = GroupOwner(namespace: me.namespace, pid: 1 << 30)
    let foreign = GroupOwner(namespace: me.namespace + 1, pid: 1 << 30)
    let first = GroupOwner(namespace: me.namespace, pid: 1)
    let kept = [me.name(1), first.name(1), foreign.name(1), "lauter", "somebody's"]
    for name in kept + [dead.name(1), dead.name(2)] {
      try FileManager.default.createDirectory(
        atPath: folder.path + "/" + name, withIntermediateDirectories: false)
    }
    me.sweep(folder.path)
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(Set(left) == Set(kept))
  }

  @Test func `descriptors come in the order in which a host gives them`() throws {
    var policy = try Policy(preset: "unconfined")
    for (word, value) in [("memory", "1M"), ("cpu", "1s"), ("processes", "9")] {
      try policy.set("limit", "\(word)=\(value)", environment: { _ in nil })
    }
    var tree = TreeLimits()
    tree.memory = .group1
    tree.cpuVersion = 1
    tree.processVersion = 1
    let first = UInt16(InitDescriptor.firstTree)
    #expect(
      tree.steps(policy, behind: 2) == [
        .watchMemory(version: 1, descriptor: first + 3, bell: first + 4),
        .countCPU(version: 1, descriptor: first + 6),
        .joinGroup(descriptor: first + 2, limits: "1048576 bytes"),
        .joinGroup(descriptor: first + 5, limits: "CPU time"),
        .joinGroup(descriptor: first + 7, limits: "9 processes"),
      ])
    tree.memory = .group2
    tree.cpuVersion = 2
    tree.processVersion = 2
    #expect(
      tree.steps(policy, behind: 0) == [
        .watchMemory(version: 2, descriptor: first + 1, bell: 0),
        .countCPU(version: 2, descriptor: first + 2),
        .joinGroup(descriptor: first, limits: "1048576 bytes"),
      ])
    tree = TreeLimits()
    tree.memory = .sum
    #expect(tree.steps(policy, behind: 0) == [.sumMemory(bytes: 1 << 20, places: [])])
  }

  @Test func `init is told which places of the worker's own are memory`() throws {
    var tree = TreeLimits()
    tree.memory = .sum
    let policy = try Policy(preset: "strict")
    let tmp = Step.tmpfs(path: "/tmp", size: 1, mode: 0)
    let home = Step.tmpfs(path: "/home/worker", size: 1, mode: 0)
    #expect(
      tree.steps(policy, behind: 0, [tmp])
        == [.sumMemory(bytes: 1 << 30, places: [.systemV, .temporary])])
    #expect(
      tree.steps(policy, behind: 0, [home, .tmpfs(path: "/dev/shm", size: 1, mode: 0)])
        == [.sumMemory(bytes: 1 << 30, places: [.systemV, .home, .shared])])
  }
}
