# Analyses of the simulated cohorts by R, for comparison with bids_acc.
# Run in this folder: Rscript reference.R   (writes reference.tsv and versions.txt)
suppressPackageStartupMessages({ library(car); library(emmeans) })
options(contrasts = c("contr.sum", "contr.poly"), digits = 17)

out <- data.frame(cohort = character(), analysis = character(), response = character(),
                  term = character(), quantity = character(), value = numeric())
# the dots keep short names such as t from being matched to an argument
put <- function(.cohort, .analysis, .response, .term, ...) {
  q <- list(...)
  for (name in names(q)) if (length(q[[name]]) != 1) stop(paste("no single value:", .cohort, .analysis, .response, .term, name)) else
    out[nrow(out) + 1, ] <<- list(.cohort, .analysis, .response, .term, name, as.numeric(q[[name]]))
}

# two-sided 95 % limits of the noncentrality parameters
ncp_t <- function(t, df) sapply(c(.975, .025), function(p)
  uniroot(function(l) pt(t, df, l) - p, c(t - 15, t + 15), tol = 1e-13)$root)
ncp_f <- function(f, df1, df2) sapply(c(.975, .025), function(p)
  if (pf(f, df1, df2) <= p) 0 else
    uniroot(function(l) pf(f, df1, df2, ncp = l) - p, c(0, 50 + 10 * f * df1), tol = 1e-13)$root)
hedges <- function(df) exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2)

put_f <- function(cohort, analysis, response, term, a, row, n) {
  f <- a[row, "F value"]; df1 <- a[row, "Df"]; df2 <- a["Residuals", "Df"]
  l <- ncp_f(f, df1, df2)
  put(cohort, analysis, response, term, F = f, df1 = df1, df2 = df2, p = a[row, "Pr(>F)"],
      eta2 = a[row, "Sum Sq"] / (a[row, "Sum Sq"] + a["Residuals", "Sum Sq"]),
      eta2_low = l[1] / (l[1] + n), eta2_high = l[2] / (l[2] + n))
}

partial <- function(cohort, analysis, d, x, y, covariates) {
  d <- d[complete.cases(d[, c(x, y, covariates)]), ]
  rhs <- if (length(covariates)) paste(covariates, collapse = "+") else "1"
  r <- cor(resid(lm(as.formula(paste(x, "~", rhs)), d)),
           resid(lm(as.formula(paste(y, "~", rhs)), d)))
  df <- nrow(d) - 2 - length(covariates)
  t <- r * sqrt(df / (1 - r^2))
  z <- atanh(r) + c(-1, 1) * qnorm(.975) / sqrt(df - 1)
  put(cohort, analysis, y, x, r = r, df = df, t = t, p = 2 * pt(-abs(t), df),
      low = tanh(z[1]), high = tanh(z[2]))
}

two_groups <- function(cohort, d, y, a, b) {
  term <- paste(a, "-", b)
  xa <- na.omit(d[d$group == a, y]); xb <- na.omit(d[d$group == b, y])
  s <- t.test(xa, xb, var.equal = TRUE); w <- t.test(xa, xb)
  na <- length(xa); nb <- length(xb); k <- sqrt(1 / na + 1 / nb)
  l <- ncp_t(s$statistic, s$parameter) * k
  put(cohort, "student", y, term, t = s$statistic, df = s$parameter, p = s$p.value,
      d = s$statistic * k, d_low = l[1], d_high = l[2],
      g = s$statistic * k * hedges(s$parameter))
  put(cohort, "welch", y, term, t = w$statistic, df = w$parameter, p = w$p.value,
      low = w$conf.int[1], high = w$conf.int[2])
  u <- wilcox.test(xa, xb, exact = TRUE)
  put(cohort, "rank", y, term, U = u$statistic, p = u$p.value)
}

for (cohort in c("tokyo", "toronto")) {
  d <- read.delim(paste0("cohort_", cohort, ".tsv"), na.strings = "n/a")
  present <- c("HC", "FL-Resp", "CLZ-Resp", "TRS", "URS")
  d$group <- factor(d$group, levels = present[present %in% d$group])
  d$sex <- factor(d$sex); d$age <- d$age - mean(d$age)
  responses <- grep("_c[0-9]$", names(d), value = TRUE)
  p <- c()
  for (y in responses) {
    fit <- lm(as.formula(paste(y, "~ group + age + sex")), d)
    a2 <- Anova(fit, type = 2); a3 <- Anova(fit, type = 3)
    for (term in c("group", "age", "sex")) {
      put_f(cohort, "ancova_II", y, term, a2, term, nrow(d))
      put_f(cohort, "ancova_III", y, term, a3, term, nrow(d))
    }
    p[y] <- a2["group", "Pr(>F)"]
    em <- emmeans(fit, "group")
    for (row in split(s <- as.data.frame(pairs(em, adjust = "none")), seq_len(nrow(s))))
      put(cohort, "emmeans", y, as.character(row$contrast), estimate = row$estimate, se = row$SE,
          df = row$df, t = row$t.ratio, p = row$p.value,
          g = row$estimate / sigma(fit) * hedges(row$df))
    n <- nlevels(d$group)
    patients <- as.data.frame(contrast(em, list(p = c(-1, rep(1 / (n - 1), n - 1)))))
    put(cohort, "contrast", y, "patients - controls", t = patients$t.ratio,
        estimate = patients$estimate, p = patients$p.value)
    h <- suppressMessages(Anova(fit, type = 3, white.adjust = "hc3"))
    put(cohort, "hc3", y, "group", F = h["group", "F"], p = h["group", "Pr(>F)"])
    w <- shapiro.test(resid(fit)); l <- leveneTest(resid(fit), d$group, center = median)
    put(cohort, "normality", y, "residuals", W = w$statistic, p = w$p.value)
    put(cohort, "equal_variances", y, "group", F = l[1, "F value"], p = l[1, "Pr(>F)"])
    cd <- cooks.distance(fit)
    put(cohort, "cook", y, "max", max = max(cd), n = sum(cd > 4 / nrow(d)))
    keep <- lm(as.formula(paste(y, "~ group + age + sex")), d[cd <= 4 / nrow(d), ])
    again <- Anova(keep, type = 2)
    put(cohort, "influence", y, "group", F = again["group", "F value"],
        p = again["group", "Pr(>F)"])
    g <- d[!is.na(d$Glx), ]; g$Glx <- g$Glx - mean(g$Glx); g$age <- g$age - mean(g$age)
    main <- lm(as.formula(paste(y, "~ group + Glx + age + sex")), g)
    both <- lm(as.formula(paste(y, "~ group * Glx + age + sex")), g)
    put_f(cohort, "relation_II", y, "Glx", Anova(main, type = 2), "Glx", nrow(g))
    put_f(cohort, "relation_II", y, "group:Glx", Anova(both, type = 2), "group:Glx", nrow(g))
    put_f(cohort, "full_II", y, "Glx", Anova(both, type = 2), "Glx", nrow(g))
    put_f(cohort, "full_III", y, "Glx", Anova(both, type = 3), "Glx", nrow(g))
    put_f(cohort, "full_III", y, "group", Anova(both, type = 3), "group", nrow(g))
    g$male <- as.numeric(g$sex == "M"); d$male <- as.numeric(d$sex == "M")
    partial(cohort, "partialcorr", g, "Glx", y, c("age", "male"))
    partial(cohort, "clinical", d[d$group %in% c("TRS", "URS"), ], "panss_positive", y,
            c("age", "male"))
  }
  for (m in c("BH", "bonferroni", "holm")) {
    adj <- p.adjust(p, m)
    for (y in responses) put(cohort, paste0("adjust_", m), y, "group", p = adj[y])
  }
  one <- summary(aov(age ~ group, d))[[1]]
  put(cohort, "oneway", "age", "group", F = one[1, "F value"], p = one[1, "Pr(>F)"])
  for (v in c("sex", "handedness")) {
    tab <- table(d$group, d[[v]])
    x <- suppressWarnings(chisq.test(tab, correct = FALSE))
    put(cohort, "counts", v, "group", chi2 = x$statistic, df = x$parameter, p = x$p.value,
        exact = fisher.test(tab, workspace = 2e7)$p.value)
  }
}

d <- read.delim("cohort_london.tsv", na.strings = "n/a")
d$group <- factor(d$group, levels = c("responsive", "resistant"))
for (y in c("Glu", "Glx", "tNAA", "tCho", "Ins")) {
  two_groups("london", d, y, "resistant", "responsive")
  for (x in c("age", "cpz_dose", "grey_matter")) {
    s <- summary(lm(as.formula(paste(y, "~", x, "+ group")),
                    transform(d, group = relevel(group, "responsive")),
                    contrasts = list(group = "contr.treatment")))
    row <- s$coefficients["groupresistant", ]
    put("london", "nuisance", y, x, t = row["t value"], df = s$df[2], p = row["Pr(>|t|)"],
        estimate = row["Estimate"], se = row["Std. Error"])
  }
  partial("london", "pearson", d, "panss_total", y, c())
  for (g in levels(d$group))
    partial("london", paste0("pearson_", g), d[d$group == g, ], "panss_total", y, c())
}
for (v in c("sex", "smoking")) {
  tab <- table(d$group, d[[v]])
  x <- chisq.test(tab, correct = FALSE)
  put("london", "counts", v, "group", chi2 = x$statistic, df = x$parameter, p = x$p.value,
      exact = fisher.test(tab)$p.value)
}

out$value <- sprintf("%.15g", out$value)
write.table(out, "reference.tsv", sep = "\t", quote = FALSE, row.names = FALSE)
writeLines(c(R.version.string, sapply(c("car", "emmeans"), function(p)
  paste(p, packageVersion(p)))), "versions.txt")
