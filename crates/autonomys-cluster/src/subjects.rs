//! The one place where subjects, queue groups, bucket and stream names are derived.

use crate::ids::{ClusterName, InstanceId};

/// Subjects and names of one cluster.
#[derive(Debug, Clone)]
pub struct Subjects {
    cluster: ClusterName,
}

impl Subjects {
    /// Subjects below `cluster`.
    pub const fn new(cluster: ClusterName) -> Self {
        Self { cluster }
    }

    /// A broadcast: everybody who listens gets it.
    pub fn broadcast(&self, name: &str) -> String {
        format!("{}.broadcast.{name}", self.cluster)
    }

    /// A request that any one member of the queue group `name` answers.
    pub fn queue(&self, name: &str) -> String {
        format!("{}.queue.{name}", self.cluster)
    }

    /// A request to one named instance.
    pub fn instance(&self, instance: InstanceId, name: &str) -> String {
        format!("{}.instance.{instance}.{name}", self.cluster)
    }

    /// A subject that nobody serves, for asking whether the server is there.
    pub fn nobody(&self) -> String {
        format!("{}.nobody", self.cluster)
    }

    /// The work-queue subject of one plot job.
    pub fn plot_job(&self, key: &str) -> String {
        format!("{}.plot-jobs.{key}", self.cluster)
    }

    /// A JetStream object of this cluster: `<cluster>_<object>`.
    pub fn object(&self, object: &str) -> String {
        format!("{}_{object}", self.cluster)
    }
}

#[cfg(test)]
mod tests {
    //! The derived names are part of the wire protocol, so they are spelled out once more.

    use super::*;
    use crate::ids::Role;

    #[test]
    fn names_are_stable_and_prefixed() {
        let subjects = Subjects::new("farm-1".parse().unwrap());
        let instance = InstanceId::generate(Role::Controller);
        assert_eq!(subjects.broadcast("slot-info"), "farm-1.broadcast.slot-info");
        assert_eq!(subjects.queue("proof"), "farm-1.queue.proof");
        assert_eq!(
            subjects.instance(instance, "submit-solution"),
            format!("farm-1.instance.controller.{}.submit-solution", instance.ulid())
        );
        assert_eq!(subjects.plot_job("ab.1.2"), "farm-1.plot-jobs.ab.1.2");
        assert_eq!(subjects.object("plot_jobs"), "farm-1_plot_jobs");
    }
}
