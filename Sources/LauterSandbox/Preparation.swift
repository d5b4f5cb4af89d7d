// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  package import LauterPlan
#endif

/// Everything that a launch needs: what init is to do, and what must be done before there is one.
package final class Preparation {
  /// What init will walk.
  package let plan: Plan
  /// `CLONE_NEW*` for init.
  package let namespaces: UInt64
  /// The network namespace that init is born in, if it is one that workers share: the compiler's.
  package let network: Int32
  /// Texts for init's `uid_map` and `gid_map`; nil without a user namespace.
  package let uidMap: String?
  package let gidMap: String?
  /// Who the worker is outside, where that is not who the host is.
  package let outsideUser: (uid: UInt32, gid: UInt32)?
  package let denySetgroups: Bool
  /// Init's capabilities must survive its exec, though its uid is not 0.
  package let keepCapabilities: Bool
  /// Detached mounts, in the order of `InitDescriptor.firstTree` and up. Closed with the
  /// preparation.
  package let trees: [Int32]
  /// What is not enforced: words that `allow-missing` let pass, and "groups" where an ordinary
  /// user's groups stay.
  package let missing: [String]
  /// What its limits hold by for all its processes together.
  package let tree: TreeLimits

  init(
    plan: Plan, namespaces: UInt64, network: Int32 = -1, uidMap: String?, gidMap: String?,
    outsideUser: (uid: UInt32, gid: UInt32)?, denySetgroups: Bool, trees: [Int32],
    missing: [String],
    tree: TreeLimits = TreeLimits()
  ) {
    self.plan = plan
    self.namespaces = namespaces
    self.network = network
    self.uidMap = uidMap
    self.gidMap = gidMap
    self.outsideUser = outsideUser
    self.denySetgroups = denySetgroups
    keepCapabilities = uidMap != nil
    self.trees = trees
    self.missing = missing
    self.tree = tree
  }

  deinit {
    for tree in trees { _ = lx_close(tree) }
  }
}
