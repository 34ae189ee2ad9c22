"""Every golden array with the call here that is to give it, and with our default where that is another definition."""

from typing import Any

from golden import (
    Case,
    T,
    ccs,
    craig_sizes,
    d2,
    d2_density,
    facility_location,
    forgetting_inf,
    grand,
    greedy,
    influence,
    influence_sum,
    margin,
    moderate,
    scores_of,
)
from winnow.metrics.aum import AUM
from winnow.metrics.dual import DUAL
from winnow.metrics.dyn_unc import DynUnc
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.metrics.grand import GraNd
from winnow.metrics.memorization import Memorization
from winnow.metrics.tdds import TDDS
from winnow.metrics.uncertainty import Uncertainty
from winnow.selectors.d2 import D2

LEAST = "least_confidence_of_logits__deepcore"
GRAND = "grand_last_layer_batch64__deepcore"
INFLUENCE = "influence__feldman_zhang"
MODERATE = "moderate_r0.3__kept"
EARLY: dict[str, Any] = {"window": 10, "first_epochs": 30}

EPOCH: list[Case] = [
    scores_of("el2n__data_diet", "data_diet", "EL2N()", EL2N(), runs="both"),
    scores_of("el2n_window__ccs", "CCS", "10 EL2N(variant=window)", EL2N(variant="window"), times=10, paper="EL2N()",
              why="theirs sums the first ten epochs of training; the paper takes one epoch of an ensemble"),
    scores_of("el2n_window__ccs", "CCS", "EL2N()", EL2N(), default=True, paper="EL2N()", why="one epoch, evaluated"),
    scores_of("entropy__dual", "DUAL", "Uncertainty()", Uncertainty()),
    Case("margin__deepcore", "DeepCore", "1 - Uncertainty(kind=margin)", margin, metric=Uncertainty(kind="margin"),
         why="theirs is low for hard"),
    scores_of(LEAST, "DeepCore", "-Uncertainty(kind=least_confidence, variant=deepcore)",
              Uncertainty(kind="least_confidence", variant="deepcore"), times=-1,
              paper="Uncertainty(kind=least_confidence)", why="of the largest logit; theirs is low for hard"),
    scores_of(LEAST, "DeepCore", "-Uncertainty(kind=least_confidence)", Uncertainty(kind="least_confidence"), times=-1,
              paper="Uncertainty(kind=least_confidence)", default=True, why="of the largest probability"),
    Case(GRAND, "DeepCore", "GraNd(parameters=last_layer) / size of the batch", grand(batches=True),
         metric=GraNd(parameters="last_layer"), paper="GraNd()",
         why="their loss is a mean over the batch, whose size divides the gradient; the last one has 8, not 64"),
    Case(GRAND, "DeepCore", "GraNd(parameters=last_layer) / 64", grand(batches=False),
         metric=GraNd(parameters="last_layer"), default=True, paper="GraNd()", why="the same for each example"),
]  # fmt: skip

TRAINING: list[Case] = [
    scores_of("forgetting_sum_over_runs__toneva", "Toneva et al.", "2 Forgetting()", Forgetting(), times=2, runs="both",
              why="theirs is a sum over two runs, ours the mean"),
    Case("forgetting__data_diet", "data_diet", "Forgetting(never_learned=inf)", forgetting_inf,
         metric=Forgetting(never_learned="inf"), paper="Forgetting()",
         why="theirs ties at infinity what a run never learned; ours, T or more there, orders it"),
    scores_of("forgetting__ccs", "CCS", "Forgetting(never_learned=zero)", Forgetting(never_learned="zero"),
              paper="Forgetting()", why="what is never learned counts as the easiest; in the paper as the hardest"),
    scores_of("forgetting__ccs", "CCS", "Forgetting()", Forgetting(), default=True, paper="Forgetting()",
              why="what is never learned counts T"),
    scores_of("forgetting__dual", "DUAL", "Forgetting(never_learned=zero)", Forgetting(never_learned="zero"),
              paper="Forgetting()", why="as CCS"),
    scores_of("aum__asappresearch", "Pleiss et al.", "-AUM()", AUM(), times=-1, why="theirs is low for hard"),
    scores_of("accumulated_margin__ccs", "CCS", "-T AUM(margin=probability)", AUM(margin="probability"), times=-T,
              paper="AUM()", why="a sum of margins of probabilities; theirs is low for hard"),
    scores_of("accumulated_margin__ccs", "CCS", "-AUM()", AUM(), times=-1, default=True, paper="AUM()",
              why="margins of logits"),
    scores_of("aum_last_epoch_only__dual", "DUAL", "-AUM(margin=probability)", AUM(margin="probability"), times=-1,
              paper="AUM()", why="a slip: their sum starts anew in each epoch; no call here has it"),
    scores_of("dyn_unc__dual", "DUAL", "10 DynUnc()", DynUnc(), times=10, why="their scale"),
    scores_of("dual_first30__dual", "DUAL", "10 DUAL(first_epochs=30)", DUAL(first_epochs=30), times=10,
              why="their scale"),
    scores_of("tdds_T30_J10__tdds", "TDDS", "TDDS(variant=official, window=10, first_epochs=30)",
              TDDS(variant="official", **EARLY), paper="TDDS()",
              why="absolute terms and norms for KL and squares; J presentations have J - 1 changes"),
    scores_of("tdds_T30_J10__tdds", "TDDS", "TDDS(window=10, first_epochs=30)", TDDS(**EARLY), default=True,
              paper="TDDS()", why="KL, squares, and J changes in a window"),
    scores_of("tdds_first_window__dual", "DUAL", "TDDS(variant=dual, window=10, first_epochs=30)",
              TDDS(variant="dual", **EARLY), paper="TDDS()", why="a slip: their window never advances"),
    scores_of("memorization__feldman_zhang", "Feldman & Zhang", "Memorization()", Memorization(), runs="both"),
    Case(INFLUENCE, "Feldman & Zhang", "influence_blocks(targets=test)", influence, kind="numbers"),
    Case(INFLUENCE, "Feldman & Zhang", "Influence(targets=test)", influence_sum, why="the sum of absolute values"),
]  # fmt: skip

SUBSETS: list[Case] = [
    *(Case(f"ccs_r{r}_beta{beta}__kept", "CCS", f"CCS(beta={beta})", ccs(r, beta), kind="numbers",
           why="kept of each stratum, of a random draw; their strata end at 1.0001 of the highest score")
      for r, beta in ((0.5, 0.0), (0.3, 0.1), (0.1, 0.3))),
    Case(MODERATE, "Moderate", "Moderate(variant=official)", moderate("official"), kind="kept",
         paper="Moderate(variant=paper)", why="the centre of a class is its median; in the paper its mean"),
    Case(MODERATE, "Moderate", "Moderate(variant=paper)", moderate("paper"), kind="kept",
         paper="Moderate(variant=paper)", why="the mean"),
    Case(MODERATE, "Moderate", "Moderate()", moderate("class"), kind="kept", default=True,
         paper="Moderate(variant=paper)", why="moderate[class]: a median distance for each class"),
    *(case for gamma in (0.1, 1.0) for case in (
        Case(f"d2_first400_k5_gamma{gamma}__initial_density", "D2", f"D2(variant=official, gamma_r={gamma})",
             d2_density(gamma), kind="numbers", paper="D2(distance=raw)", why="distances; in the paper squared"),
        Case(f"d2_first400_k5_gamma{gamma}__kept_in_order", "D2", f"D2(variant=official, gamma_r={gamma})",
             d2(D2(variant="official", k=5, gamma_r=gamma)), kind="kept", paper="D2(distance=raw)",
             why="the same, and a negative importance raises its neighbours"),
        Case(f"d2_first400_k5_gamma{gamma}__kept_in_order", "D2", f"D2(gamma_r={gamma})",
             d2(D2(k=5, gamma_r=gamma)), kind="kept", default=True, paper="D2(distance=raw)",
             why="d2[relative]: squared distances, in units of their mean"))),
    Case("facility_location_naive__order", "DeepCore", "lazy_greedy(their similarities)",
         greedy("cosine_similarity__deepcore", "facility_location_naive__order"), kind="order"),
    Case("facility_location_lazy__order", "DeepCore", "lazy_greedy(their similarities)",
         greedy("cosine_similarity__deepcore", "facility_location_lazy__order"), kind="order"),
    Case("facility_location_naive__order", "DeepCore", "FacilityLocation()", facility_location, kind="kept",
         default=True, paper="neither",
         why="similarities are centred cosines, not negative, of 64 neighbours; theirs 0.5 + 0.5 cos"),
    Case("craig_naive__order", "DeepCore, CRAIG", "lazy_greedy(their similarities)",
         greedy("craig_matrix_from_euclid", "craig_naive__order"), kind="order",
         why="the greedy search agrees; no rule here makes the matrix, of distances between gradients"),
    Case("craig_cluster_sizes_in_order", "DeepCore, CRAIG", "of lazy_greedy(their similarities)", craig_sizes,
         kind="numbers"),
    Case("graph_cut_lam1_naive__order", "DeepCore", "", None, paper=""),
    Case("grad_match_omp_lam1__weights", "DeepCore, GradMatch", "", None, paper=""),
    Case("cal_symmetric_kl__deepcore", "DeepCore, CAL", "", None, paper=""),
]  # fmt: skip

CASES = [*EPOCH, *TRAINING, *SUBSETS]
