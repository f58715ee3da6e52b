"""Pictures of the tokens that a reduction keeps (STA, Figure 4; supplement, Figures 1 and 2)."""
