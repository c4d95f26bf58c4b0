"""One runner per golden op: the case's inputs through our code, under the names of the case's outputs.

A runner takes a case and the dtype to compute in, and knows neither the expected outputs nor tolerances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from released_orders import paired_order, unpaired_order
from torch import Tensor

from bench.full_logps import IGNORED, sequence_logps
from methods import (
    bco,
    cdpo,
    dpo,
    infonca,
    ipo,
    kto,
    kto_simple,
    kto_zero,
    nca,
    ppo,
    ppo_offline,
    rpo_diagonal,
    rpo_integrated,
    rpo_paired,
    rpo_uniform,
    rpo_unpaired,
    swepo,
)
from methods.contract import LossOutput, PairedBatch, RankedBatch, RolloutBatch, UnpairedBatch
from prefrepro.data.splits import eval_prompt_order
from prefrepro.judge.pairwise import paper_order
from prefrepro.model.logps import summed, token_logps
from prefrepro.model.optimizer import build_optimizer, warmup_lr

Case = dict[str, Any]
Outputs = dict[str, Any]
Sides = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
SIDES = ("policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps", "reference_rejected_logps")
PAIRED: dict[str, Any] = {"dpo": dpo, "cdpo": cdpo, "ipo": ipo}
UNPAIRED: dict[str, Any] = {"kto_simple": kto_simple, "kto_zero": kto_zero, "bco": bco}


def tensor(value: Any, dtype: torch.dtype) -> Tensor:
    """Nested lists as a tensor, strings such as "NaN" read as numbers."""

    def numbers(item: Any) -> Any:
        return [numbers(i) for i in item] if isinstance(item, list) else float(item)

    return torch.tensor(numbers(value), dtype=dtype)


def sides(case: Case, dtype: torch.dtype) -> Sides:
    """Policy chosen and rejected (leaves), reference chosen and rejected, lengths of both."""
    chosen, rejected, ref_chosen, ref_rejected = (tensor(case["inputs"][name], dtype) for name in SIDES)
    lengths = torch.ones_like(chosen), torch.ones_like(rejected)
    return chosen.requires_grad_(), rejected.requires_grad_(), ref_chosen, ref_rejected, *lengths


def outputs(output: LossOutput, logps: Sides) -> Outputs:
    """What a golden case may hold about a loss; `logps` begins with the leaves of both sides."""
    mean = output.losses.mean()
    mean.backward()
    return {
        "losses": output.losses,
        "loss": mean,
        "chosen_rewards": output.chosen_rewards,
        "rejected_rewards": output.rejected_rewards,
        "grad_policy_chosen_logps": logps[0].grad,
        "grad_policy_rejected_logps": logps[1].grad,
    }


def run_paired(case: Case, dtype: torch.dtype) -> Outputs:
    """Methods that need no embeddings. Beside the hyper-parameters, ipo's cases say that log-probs are sums."""
    logps, method = sides(case, dtype), PAIRED[case["op"]]
    params = {name: value for name, value in case["params"].items() if name != "logps"}
    return outputs(method.loss(PairedBatch(*logps), method.Hparams(**params)), logps)


def run_ipo_averaged(case: Case, dtype: torch.dtype) -> Outputs:
    """Token log-probs, chosen rows first; a token of exactly 0 is no response token, as in the release."""
    policy = tensor(case["inputs"]["policy_token_logps"], dtype).requires_grad_()
    reference = tensor(case["inputs"]["reference_token_logps"], dtype)
    n = case["inputs"]["n_chosen"]
    parts = policy.sum(-1), reference.sum(-1), (reference != 0).sum(-1)
    chosen_and_rejected = (side for part in parts for side in (part[:n], part[n:]))
    hp = ipo.Hparams(beta=case["params"]["tau"], reduction="mean")
    losses = ipo.loss(PairedBatch(*chosen_and_rejected), hp).losses
    losses.mean().backward()
    return {"losses": losses, "loss": losses.mean(), "grad_policy_token_logps": policy.grad}


def run_rpo_paired(case: Case, dtype: torch.dtype) -> Outputs:
    hp = rpo_paired.Hparams(**case["params"], distance="cos" if case["op"] == "rpo_eq10_literal" else "1-cos")
    logps, embeddings = sides(case, dtype), tensor(case["inputs"]["prompt_embeddings"], dtype)
    actual = outputs(rpo_paired.loss(PairedBatch(*logps, embeddings), hp), logps)
    return actual | {"weights": rpo_paired.contrast_weights(embeddings, hp)}


def run_rpo_paired_bf16_as_run(case: Case, dtype: torch.dtype) -> Outputs:
    """Everything in bfloat16, as the release ran, and in float64."""
    actual = {}
    for name, precision in {"bf16": torch.bfloat16, "fp64": torch.float64}.items():
        wide = run_rpo_paired(case, precision)
        actual |= {f"{key}_{name}": wide[key] for key in ("losses", "loss")}
    return actual


def run_rpo_paired_multirank(case: Case, dtype: torch.dtype) -> Outputs:
    """One matrix per rank of consecutive pairs, their mean; and, beside it, one matrix of all pairs."""
    params, logps = case["params"], sides(case, dtype)
    hp = rpo_paired.Hparams(beta=params["beta"], tau=params["tau"])
    fields = *logps, tensor(case["inputs"]["prompt_embeddings"], dtype)
    whole, size = PairedBatch(*fields), params["per_rank"]
    parts = zip(*(field.split(size) for field in fields), strict=True)  # rank r: pairs r·size to (r+1)·size
    ranks = [rpo_paired.loss(PairedBatch(*part), hp) for part in parts]
    assert len(ranks) == params["world_size"]
    rank_losses = torch.stack([rank.losses.mean() for rank in ranks])
    rank_losses.mean().backward()
    return {
        "rank_losses": rank_losses,
        "loss": rank_losses.mean(),
        "loss_if_gathered_to_one_matrix": rpo_paired.loss(whole, hp).losses.mean(),
        "grad_policy_chosen_logps": logps[0].grad,
        "grad_policy_rejected_logps": logps[1].grad,
    }


def run_rpo_unpaired(case: Case, dtype: torch.dtype) -> Outputs:
    logps, hp = sides(case, dtype), rpo_unpaired.Hparams(**case["params"])
    embeddings = tensor(case["inputs"]["batch_embeddings"], dtype)
    is_chosen = torch.tensor(case["inputs"]["batch_is_chosen"], dtype=torch.bool)
    rows, columns = embeddings[is_chosen], embeddings[~is_chosen]
    actual = outputs(rpo_unpaired.loss(UnpairedBatch(*logps, rows, columns), hp), logps)
    return actual | {"weights": rpo_unpaired.contrast_weights(rows, columns, hp)}


def run_rpo_integrated(case: Case, dtype: torch.dtype) -> Outputs:
    logps, hp = sides(case, dtype), rpo_integrated.Hparams(**case["params"])
    rows, columns = (tensor(case["inputs"][f"{side}_embeddings"], dtype) for side in ("chosen", "rejected"))
    return outputs(rpo_integrated.loss(UnpairedBatch(*logps, rows, columns), hp), logps)


def run_rpo_uniform(case: Case, dtype: torch.dtype) -> Outputs:
    hp = rpo_uniform.Hparams(**case["params"], reading=case["op"].rsplit("_", 1)[1])
    logps = sides(case, dtype)
    return outputs(rpo_uniform.loss(PairedBatch(*logps), hp), logps)


def run_rpo_diagonal(case: Case, dtype: torch.dtype) -> Outputs:
    hp = rpo_diagonal.Hparams(**case["params"], reading=case["op"].rsplit("_", 1)[1])
    logps = sides(case, dtype)
    return outputs(rpo_diagonal.loss(PairedBatch(*logps), hp), logps)


def run_kto(case: Case, dtype: torch.dtype) -> Outputs:
    """Of one process the released reference point is the intended one; of more it is divided by their number."""
    logps = sides(case, dtype)
    hp = kto.Hparams(**case["params"], reading="paper" if case["params"]["world_size"] == 1 else "code")
    mismatched = {
        f"{ours}_mismatched_logps": tensor(case["inputs"][f"{theirs}_KL_logps"], dtype)
        for ours, theirs in (("policy", "policy"), ("ref", "reference"))
    }
    batch = UnpairedBatch(*logps, **mismatched)
    return outputs(kto.loss(batch, hp), logps) | {"KL": kto.reference_point(batch, hp)}


def run_unpaired(case: Case, dtype: torch.dtype) -> Outputs:
    """Methods that need neither embeddings nor mismatched responses."""
    logps, method = sides(case, dtype), UNPAIRED[case["op"]]
    return outputs(method.loss(UnpairedBatch(*logps), method.Hparams(**case["params"])), logps)


def ranked(case: Case, dtype: torch.dtype) -> RankedBatch:
    """All K responses of each prompt; the policy's log-probs are leaves."""
    policy, reference, scores = (
        tensor(case["inputs"][name], dtype) for name in ("policy_logps", "reference_logps", "rewards")
    )
    ones = torch.ones_like(policy)
    return RankedBatch(policy.requires_grad_(), reference, scores, ones.bool(), ones)


def run_contrastive(case: Case, dtype: torch.dtype) -> Outputs:
    """infonca and nca, which take the same hyper-parameters."""
    method: Any = {"infonca": infonca, "nca": nca}[case["op"]]
    params, batch = case["params"], ranked(case, dtype)
    hp = method.Hparams(params["beta"], params["temperature_alpha"], params["bonus_on_A0"])
    losses = method.loss(batch, hp).losses
    losses.mean().backward()
    labels = method.soft_labels(batch, hp)
    return {
        "losses": losses,
        "loss": losses.mean(),
        "soft_labels": labels,
        "grad_policy_logps": batch.policy_logps.grad,
    }


def run_nca_pair(case: Case, dtype: torch.dtype) -> Outputs:
    """A pair is two ranked responses, the chosen one a point above the other."""
    logps = sides(case, dtype)
    policy, reference = torch.stack(logps[:2], dim=1), torch.stack(logps[2:4], dim=1)
    ones = torch.ones_like(policy)
    scores = ones * torch.tensor([1, 0], dtype=dtype)
    output = nca.loss(RankedBatch(policy, reference, scores, ones.bool(), ones), nca.Hparams(**case["params"]))
    return outputs(output, logps)


def run_swepo(case: Case, dtype: torch.dtype) -> Outputs:
    """The mean is over rows whose scores tell anything apart."""
    params, batch = case["params"], ranked(case, dtype)
    hp = swepo.Hparams(**{name: value for name, value in params.items() if name != "variant"})
    output = swepo.loss(batch, hp)
    assert output.valid is not None
    mean = output.losses.sum() / output.valid.sum().clamp(min=1)
    mean.backward()
    positive, _, valid = swepo.groups_and_weights(batch, hp)
    assert valid.equal(output.valid)
    return {
        "losses": output.losses,
        "loss": mean,
        "n_positive": positive.sum(dim=-1),
        "valid": valid,
        "grad_policy_logps": batch.policy_logps.grad,
    }


def run_gae(case: Case, dtype: torch.dtype) -> Outputs:
    """As both releases: masked inputs and outputs, whitened over masked tokens. TRL: its outputs are not masked."""
    values, rewards, mask = (tensor(case["inputs"][name], dtype) for name in ("values", "rewards", "masks"))
    gamma, lam = case["params"]["gamma"], case["params"]["lam"]
    raw = ppo.gae(values * mask, rewards * mask, gamma, lam)
    zeros = torch.zeros_like(values)
    batch = RolloutBatch(zeros, zeros, zeros, values, values, rewards, mask.bool())
    hp = ppo.Hparams(gamma=gamma, lam=lam, kl_coef=0.0)
    _, returns = ppo.advantages_and_targets(batch, hp)
    released = ppo_offline.Hparams(gamma=gamma, lam=lam, kl_coef=0.0)
    normalised, excluding = ppo_offline.advantages_and_targets(batch, released)
    _, including = ppo_offline.advantages_and_targets(batch, replace(released, is_repaired=True))
    return {
        "advantages_normalised": normalised,
        "advantages_raw": raw * mask,
        "returns": returns,
        "critic_target_rpo (excludes r_t)": excluding,
        "critic_target_halos_head (includes r_t)": including,
        "trl_advantages_whitened (unbiased var, not masked)": ppo.whiten(raw, mask),
        "trl_returns": raw + values * mask,
    }


def run_ppo_loss(case: Case, dtype: torch.dtype) -> Outputs:
    """Advantages and targets are given; a masked mean over tokens of each part of the loss."""
    given = {name: tensor(value, dtype) for name, value in case["inputs"].items()}
    params, mask = case["params"], given["masks"]
    leaves = given["new_logprobs"].requires_grad_(), given["new_values"].requires_grad_()
    old, old_values = given["old_logprobs"], given.get("old_values", torch.zeros_like(mask))
    batch = RolloutBatch(leaves[0], old, old, leaves[1], old_values, torch.zeros_like(mask), mask.bool())
    clip = params["cliprange"]
    if case["op"] == "ppo_loss_trl":
        targets, coef, method = given["returns"], params["vf_coef"], ppo
        hp: Any = ppo.Hparams(cliprange=clip, value_cliprange=params["cliprange_value"], critic_coef=coef)
    else:
        targets, coef, method = given["critic_target"], params["critic_coef"], ppo_offline
        is_repaired = case["op"] == "ppo_loss_halos"
        hp = ppo_offline.Hparams(is_repaired, params["KL_coef"], cliprange=clip, critic_coef=coef)

    def mean(tokens: Tensor) -> Tensor:
        return (tokens * mask).sum() / mask.sum()

    loss = mean(method.token_losses(batch, given["advantages"], targets, hp))
    loss.backward()
    policy, is_clipped = method.policy_losses(batch, given["advantages"], hp)
    critic = mean(method.value_losses(batch, targets, hp))
    return {
        "loss": loss,
        "policy_loss": mean(policy),
        "critic_loss": critic,
        "value_loss_times_coef": coef * critic,
        "clip_fraction": mean(is_clipped.to(dtype)),
        "kl_term_reported": mean(old - leaves[0]),
        "entropy": mean(torch.distributions.Categorical(logits=given["logits"]).entropy()),
        "grad_logprobs": leaves[0].grad,
        "grad_values": leaves[1].grad,
    }


def run_sequence_logps(case: Case, dtype: torch.dtype) -> Outputs:
    """Both forms: full logits, and response positions only (logits as hidden states, identity as head)."""
    logits = tensor(case["inputs"]["logits"], dtype).requires_grad_()
    labels = torch.tensor(case["inputs"]["labels"])
    total, token_level, n_tokens = sequence_logps(logits, labels)
    (grad,) = torch.autograd.grad(total.sum(), logits)
    rows, places = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    one_hot = torch.eye(logits.shape[-1], dtype=dtype)
    tokens = token_logps(logits[rows, places], one_hot, labels[rows, places + 1], chunk=5)
    at_responses = summed(tokens, rows, len(labels))
    torch.testing.assert_close(at_responses, total)
    torch.testing.assert_close(torch.autograd.grad(at_responses.sum(), logits)[0], grad)
    return {
        "sum": total,
        "average": total / n_tokens,
        "token_level": token_level,
        "n_tokens": n_tokens.to(dtype),
        "grad_logits_of_total_sum": grad,
    }


def run_rmsprop_warmup(case: Case, dtype: torch.dtype) -> Outputs:
    base, warmup_steps = case["params"]["lr"], case["params"]["warmup_steps"]
    weights = tensor(case["inputs"]["w0"], dtype).requires_grad_()
    optimizer = build_optimizer([weights], {"optimizer": "rmsprop", "lr": base})
    used, after = [], []
    for step, grad in enumerate(tensor(case["inputs"]["grads"], dtype)):
        used.append(warmup_lr(step, base, warmup_steps))
        optimizer.param_groups[0]["lr"] = used[-1]
        weights.grad = grad
        optimizer.step()
        after.append(weights.detach().clone())
    actual: Outputs = {"w_after_each_step": torch.stack(after), "lr_used_at_each_step": used}
    for key in case["outputs"]:
        if key.startswith("lr_at_steps_"):
            steps = map(int, key.removeprefix("lr_at_steps_").split("_"))
            actual[key] = [warmup_lr(step, base, warmup_steps) for step in steps]
    return actual


def run_judge_position_order(case: Case, dtype: torch.dtype) -> Outputs:
    return {"candidate_is_response_1": paper_order(case["params"]["n"], case["params"]["seed"])}


def run_eval_prompt_order(case: Case, dtype: torch.dtype) -> Outputs:
    asked = case["params"]
    order = eval_prompt_order(asked["n_unique_prompts"], asked["n_samples"], asked["batch_size"], asked["seed"])
    return {"prompt_indices": order}


def run_train_order(case: Case, dtype: torch.dtype) -> Outputs:
    """Pairs, or single completions in halves or as shuffled; the last are matched with the next one's prompt."""
    asked, size = case["params"], case["params"]["batch_size"]
    cycle = asked["pairs_per_prompt_cycle"]
    train, held_out = ([cycle[i % len(cycle)] for i in range(asked[f"n_{part}_prompts"])] for part in ("train", "test"))
    options: Any = {name: asked[name] for name in ("seed", "eval_batch_size", "n_eval_examples")}
    options["eval_pairs_per_prompt"] = held_out
    if case["op"] == "paired_train_order":
        return {"batches": paired_order(train, size, **options)}
    balanced = case["op"] == "rpo_unpaired_train_order"
    batches = unpaired_order(train, size, balanced, **options)
    return {"batches": batches, "kl_partner_of_position_i": [(i + 1) % size for i in range(size)]}


RUNNERS: dict[str, Callable[[Case, torch.dtype], Outputs]] = {
    "dpo": run_paired,
    "cdpo": run_paired,
    "ipo": run_paired,
    "ipo_averaged": run_ipo_averaged,
    "kto": run_kto,
    "kto_rpo_as_run_ws8": run_kto,
    "kto_simple": run_unpaired,
    "kto_zero": run_unpaired,
    "bco": run_unpaired,
    "rpo_paired": run_rpo_paired,
    "rpo_eq10_literal": run_rpo_paired,
    "rpo_paired_bf16_as_run": run_rpo_paired_bf16_as_run,
    "rpo_integrated": run_rpo_integrated,
    "rpo_paired_multirank": run_rpo_paired_multirank,
    "rpo_unpaired": run_rpo_unpaired,
    "rpo_uniform_code": run_rpo_uniform,
    "rpo_uniform_paper": run_rpo_uniform,
    "rpo_diagonal_code": run_rpo_diagonal,
    "rpo_diagonal_paper": run_rpo_diagonal,
    "infonca": run_contrastive,
    "nca": run_contrastive,
    "nca_pair": run_nca_pair,
    "swepo": run_swepo,
    "gae": run_gae,
    "ppo_loss_rpo": run_ppo_loss,
    "ppo_loss_halos": run_ppo_loss,
    "ppo_loss_trl": run_ppo_loss,
    "sequence_logps": run_sequence_logps,
    "rmsprop_warmup": run_rmsprop_warmup,
    "judge_position_order": run_judge_position_order,
    "eval_prompt_order": run_eval_prompt_order,
    "paired_train_order": run_train_order,
    "rpo_unpaired_train_order": run_train_order,
    "kto_ppo_train_order": run_train_order,
}
