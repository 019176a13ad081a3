# Equivalence, Bayes factors, norms and slopes, computed by R; see PROVENANCE.md.
suppressMessages({library(lme4); library(BayesFactor)})
options(contrasts = c("contr.sum", "contr.poly"))
rows <- list()
put <- function(name, value) rows[[length(rows) + 1]] <<- data.frame(name = name, value = sprintf("%.12g", value))

d <- read.delim("../stats/cohort_tokyo.tsv", na.strings = "n/a")
d$group <- factor(d$group, levels = c("HC", "FL-Resp", "TRS"))
d$sex <- factor(d$sex)

# equivalence (two one-sided tests against .8 residual SD) and JZS factor of adjusted differences
for (y in c("thickness_c1", "Glx")) {
  m <- lm(reformulate(c("group", "age", "sex"), y), d)
  w <- c(0, c(-1, -1) - c(1, 0), 0, 0)                  # TRS - HC in sum coding
  est <- sum(w * coef(m)); se <- sqrt(drop(t(w) %*% vcov(m) %*% w)); df <- df.residual(m)
  bound <- 0.8 * sigma(m)
  put(paste("tost", y, sep = " "),
      max(pt((est + bound) / se, df, lower.tail = FALSE), pt((est - bound) / se, df)))
  # an adjusted difference has the information of one sample of (sigma / se)^2
  n <- (sigma(m) / se)^2; t <- est / se; r2 <- 0.5
  marginal <- function(g) (1 + n * g)^-0.5 * (1 + t^2 / ((1 + n * g) * df))^(-(df + 1) / 2) *
    sqrt(r2 / (2 * pi)) * g^-1.5 * exp(-r2 / (2 * g))
  put(paste("bf10", y, sep = " "),
      integrate(marginal, 0, Inf, rel.tol = 1e-10)$value / (1 + t^2 / df)^(-(df + 1) / 2))
}
hc <- d$Glx[d$group == "HC"]; trs <- d$Glx[d$group == "TRS"]
t <- t.test(trs, hc, var.equal = TRUE)$statistic
put("bf10 plain Glx",
    exp(ttest.tstat(t, sum(!is.na(trs)), sum(!is.na(hc)), simple = FALSE)[["bf"]]))

# norms: controls' age x sex model; members by the fit without them, others by prediction
norm <- subset(d, group == "HC" & !is.na(thickness_c1))
m <- lm(thickness_c1 ~ age * sex, norm)
put("centile first member", 100 * pt(rstudent(m)[[1]], df.residual(m) - 1))
new <- subset(d, group == "TRS")[1:3, ]
p <- predict(m, new, se.fit = TRUE)
away <- (new$thickness_c1 - p$fit) / sqrt(p$se.fit^2 + p$residual.scale^2)
for (i in 1:3) {
  put(paste("centile", new$participant_id[i]), 100 * pt(away[[i]], p$df))
  put(paste("z", new$participant_id[i]), (new$thickness_c1[i] - p$fit[[i]]) / p$residual.scale)
}
# with a spread that changes with age, in Harvey's two steps
e2 <- residuals(m)^2
a <- lm(log(pmax(e2, 1e-6 * mean(e2))) ~ norm$age)
v <- exp(coef(a)[[2]] * (norm$age - mean(d$age)))
mw <- lm(thickness_c1 ~ age * sex, norm, weights = 1 / v)
vn <- exp(coef(a)[[2]] * (new$age - mean(d$age)))
p <- predict(mw, new, se.fit = TRUE)
away <- (new$thickness_c1 - p$fit) / sqrt(p$se.fit^2 + sigma(mw)^2 * vn)
for (i in 1:3) put(paste("spread", new$participant_id[i]), 100 * pt(away[[i]], p$df))

# slopes of groups over visits: random intercept and slope, REML
l <- read.delim("../stats2/longitudinal.tsv", na.strings = "n/a")
l$visit_ <- as.numeric(scale(l$visit)); l$response <- factor(l$response)
s <- lmer(glx ~ visit_ * response + age + (1 + visit_ | participant_id), l,
          control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10)))
k <- grep("visit_:", names(fixef(s)))
put("slopes wald", fixef(s)[[k]]^2 / vcov(s)[k, k])
put("slopes difference", -2 * fixef(s)[[k]] / sd(l$visit))
put("slopes singular", as.numeric(isSingular(s)))

# every order of six responses
x <- d$age[1:6]; y <- d$Glx[1:6]; r0 <- abs(cor(x, y)); hits <- 0; total <- 0
permute <- function(v) if (length(v) < 2) list(v) else
  do.call(c, lapply(seq_along(v), function(i) lapply(permute(v[-i]), function(q) c(v[i], q))))
for (q in permute(y)) { total <- total + 1; hits <- hits + (abs(cor(x, q)) >= r0 - 1e-12) }
put("orders", hits / total)

write.table(do.call(rbind, rows), "reference.tsv", sep = "\t", quote = FALSE, row.names = FALSE)
cat(R.version.string, paste(c("lme4", "BayesFactor"), sapply(c("lme4", "BayesFactor"),
    function(p) as.character(packageVersion(p)))), sep = "\n", file = "versions.txt")
