//! The stages in one type, for the graph and for the messages to workers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stage::Stage;
use super::stages::{
    BaseStage, BuildExamplesStage, CollectStage, EvaluateStage, ImproveStage, LabelStepsStage,
    LikelihoodStage, LinkStage, OnlineStage, PreferStage, PrepareStage, RankStage, RefineStage,
    SampleStage, TokenizeStage, TrainStage, UnsolvedStage,
};

macro_rules! stage_specs {
    ($($variant:ident($stage:ident): $doc:literal,)*) => {
        /// One stage of any kind.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum StageSpec {
            $(#[doc = $doc] $variant(Box<$stage>),)*
        }

        impl StageSpec {
            pub(super) fn stage(&self) -> &dyn Stage {
                match self {
                    $(Self::$variant(stage) => stage.as_ref(),)*
                }
            }

            /// The fields of the stage as JSON.
            pub(super) fn fields(&self) -> Value {
                match self {
                    $(Self::$variant(stage) => serde_json::to_value(stage),)*
                }
                .expect("stages are plain data")
            }
        }

        $(impl From<$stage> for StageSpec {
            fn from(stage: $stage) -> Self {
                Self::$variant(Box::new(stage))
            }
        })*
    };
}

stage_specs! {
    Prepare(PrepareStage): "Load one split of a task.",
    Tokenize(TokenizeStage): "Train a tokenizer on a base model's corpus.",
    Base(BaseStage): "Pre-train a base model.",
    Link(LinkStage): "Link a checkpoint that was trained elsewhere.",
    Collect(CollectStage): "Roll a policy out on the training problems.",
    Sample(SampleStage): "Draw several attempts at every training problem.",
    Improve(ImproveStage): "Let the teacher add the improved turn.",
    BuildExamples(BuildExamplesStage): "Turn episodes or reference solutions into examples.",
    Train(TrainStage): "Train a checkpoint on examples.",
    Prefer(PreferStage): "Train a checkpoint by direct preference optimisation.",
    TrainOnline(OnlineStage): "Train a checkpoint on its own answers, online.",
    Evaluate(EvaluateStage): "Let a checkpoint answer the test problems.",
    Unsolved(UnsolvedStage): "Try sequences on problems that parallel samples leave unsolved.",
    Likelihood(LikelihoodStage): "Score reference solutions, at once and after own attempts.",
    Rank(RankStage): "Let a verifier rank the first attempts of an evaluation.",
    LabelSteps(LabelStepsStage): "Judge samples step by step.",
    Refine(RefineStage): "Draft, refine and choose on the test problems.",
}
