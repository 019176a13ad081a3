# Writes reference.json from the simulated tables; run: Rscript reference.R (in this folder).
suppressMessages({library(lme4); library(lmerTest); library(mclust); library(metafor)
  library(sva); library(car); library(jsonlite)})
out <- list()
out$versions <- list(R = R.version.string)
for (p in c("lme4", "lmerTest", "mclust", "metafor", "sva", "car"))
  out$versions[[p]] <- as.character(packageVersion(p))

# --- mixed models
d <- read.delim("longitudinal.tsv", stringsAsFactors = TRUE)
contrasts(d$session_id) <- contr.sum(3); contrasts(d$response) <- contr.sum(2)
d$agec <- d$age - mean(d$age); d$visitc <- d$visit - mean(d$visit)
mixed <- function(formula) {
  m <- lmer(formula, d, REML = TRUE,
            control = lmerControl(optCtrl = list(ftol_abs = 1e-14, xtol_abs = 1e-10)))
  a <- anova(m, type = 3); v <- as.data.frame(VarCorr(m))
  list(F = a[["F value"]], df1 = a[["NumDF"]], df2 = a[["DenDF"]], p = a[["Pr(>F)"]],
       terms = rownames(a), beta = unname(fixef(m)), reml = REMLcrit(m),
       se = unname(sqrt(diag(as.matrix(vcov(m))))), df = unname(coef(summary(m))[, "df"]),
       var_subject = v$vcov[1], var_residual = v$vcov[2])
}
out$mixed <- list(
  factor = mixed(madrs ~ session_id + response + session_id:response + agec + (1 | participant_id)),
  slope = mixed(glx ~ visitc + response + visitc:response + (1 | participant_id)))

# --- before and after
w <- reshape(d[, c("participant_id", "session_id", "response", "age", "glx", "madrs")],
             idvar = c("participant_id", "response", "age"), timevar = "session_id",
             direction = "wide")
pre <- subset(w, !is.na(madrs.ses.1 <- w[["madrs.ses-1"]]))
names(pre) <- gsub("ses-", "s", names(pre))
t1 <- t.test(pre$madrs.s1, pre$madrs.s0, paired = TRUE)
out$paired <- list(t = unname(t1$statistic), df = unname(t1$parameter), p = t1$p.value,
  mean = unname(t1$estimate), ci = as.numeric(t1$conf.int),
  wilcoxon = wilcox.test(pre$madrs.s1, pre$madrs.s0, paired = TRUE, exact = FALSE,
                         correct = FALSE)$p.value)
contrasts(pre$response) <- contr.sum(2)
am <- lm(madrs.s1 ~ madrs.s0 + response + age, pre)
aa <- Anova(am, type = 3); ci <- -2 * confint(am)["response1", ]
out$baseline <- list(F = aa["response", "F value"], df2 = am$df.residual,
  p = aa["response", "Pr(>F)"], difference = unname(-2 * coef(am)["response1"]),
  ci = sort(as.numeric(ci)))
dx <- pre$glx.s1 - pre$glx.s0; dy <- pre$madrs.s1 - pre$madrs.s0
rx <- resid(lm(dx ~ glx.s0 + madrs.s0 + age, pre)); ry <- resid(lm(dy ~ glx.s0 + madrs.s0 + age, pre))
r <- cor(rx, ry); df <- nrow(pre) - 5
out$change <- list(r = r, df = df, p = 2 * pt(-abs(r) * sqrt(df / (1 - r^2)), df))

# --- sites
s <- read.delim("sites.tsv", stringsAsFactors = TRUE)
meta <- list()
for (f in c("f0", "f3")) {
  e <- do.call(rbind, lapply(split(s, s$site), function(x) {
    m <- lm(reformulate(c("group", "age"), f), x); k <- coef(summary(m))["groupSCZ", ]
    data.frame(b = k[1], se = k[2]) }))
  fit <- function(method, test) { m <- rma(yi = e$b, sei = e$se, method = method, test = test,
      control = list(threshold = 1e-12, maxiter = 1000))
    list(estimate = as.numeric(m$b), se = m$se, ci = c(m$ci.lb, m$ci.ub), p = m$pval,
         tau2 = m$tau2, Q = m$QE, Qp = m$QEp, I2 = m$I2) }
  meta[[f]] <- list(b = e$b, se = e$se, DL = fit("DL", "z"), DLHK = fit("DL", "knha"),
    REML = fit("REML", "z"), REMLHK = fit("REML", "knha"), FE = fit("FE", "z"))
}
out$meta <- meta
smd <- escalc("SMD", m1i = 1.57, sd1i = .24, n1i = 19, m2i = 1.38, sd2i = .23, n2i = 18)
out$hedges <- list(g = as.numeric(smd$yi), v = as.numeric(smd$vi))
contrasts(s$site) <- contr.sum(3); contrasts(s$group) <- contr.sum(2)
pm <- Anova(lm(f0 ~ group + site + group:site + age, s), type = 3)
pa <- lm(f0 ~ group + site + age, s)
out$pooled <- list(F = Anova(pa, type = 3)["group", "F value"], df2 = pa$df.residual,
  interaction_F = pm["group:site", "F value"], interaction_p = pm["group:site", "Pr(>F)"])

# --- ComBat. sva stops its iteration at a relative change of 1e-4, and looks at signed changes
# (it divides by g.old, not by its size); here it goes on to the fixed point, which has one answer.
solve_longer <- sva:::it.sol; formals(solve_longer)$conv <- 1e-12
unlockBinding("it.sol", asNamespace("sva"))
assign("it.sol", solve_longer, asNamespace("sva"))
Y <- t(as.matrix(s[, paste0("f", 0:7)]))
mod <- model.matrix(~ group + age, s)
out$combat <- list(
  eb = unname(t(suppressMessages(ComBat(Y, s$site, mod, par.prior = TRUE)))),
  plain = unname(t(suppressMessages(ComBat(Y, s$site, par.prior = TRUE)))))

# --- mixtures
x <- read.delim("mixture.tsv")
fitted <- list()
for (g in c("one", "two", "three")) for (model in c("V", "E")) {
  k <- match(g, c("one", "two", "three")); v <- x$value[x$sample == g]
  m <- Mclust(v, G = k, modelNames = if (k == 1) "X" else model, verbose = FALSE,
              control = emControl(tol = c(1e-14, 1e-14), itmax = c(10000, 10000)))
  sd <- sqrt(m$parameters$variance$sigmasq)
  fitted[[paste0(g, model)]] <- list(loglik = m$loglik, means = unname(m$parameters$mean),
    weights = if (k == 1) 1 else m$parameters$pro, sds = rep_len(sd, k), df = m$df, bic = -m$bic)
}
out$mixture <- fitted
write(toJSON(out, digits = 12, auto_unbox = TRUE, pretty = TRUE), "reference.json")
