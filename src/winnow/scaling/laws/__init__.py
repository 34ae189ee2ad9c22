"""Laws of how test error falls with examples, fitted with intervals; `fit` is in law.py, several sizes of models in
conditional.py, what to spend on which in allocation.py."""

from winnow.scaling.laws.law import LAWS, LawFit, aicc_weights, bands, compare, fit, law_error, law_name

__all__ = ["LAWS", "LawFit", "aicc_weights", "bands", "compare", "fit", "law_error", "law_name"]
