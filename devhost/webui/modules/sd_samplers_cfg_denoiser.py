"""Classifier-free guidance: one denoiser call is one batch of rows, cond rows first, uncond rows last."""

from __future__ import annotations

from typing import Any

import torch

from modules import prompt_parser, sd_samplers_common, shared
from modules.script_callbacks import (
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    cfg_after_cfg_callback,
    cfg_denoised_callback,
    cfg_denoiser_callback,
)
from modules.shared import opts, state


def catenate_conds(conds: list[Any]) -> Any:
    """Rows of several conds one after the other; for dicts key by key."""
    if not isinstance(conds[0], dict):
        return torch.cat(conds)
    return {key: torch.cat([cond[key] for cond in conds]) for key in conds[0]}


def subscript_cond(cond: Any, a: int, b: int) -> Any:
    """Rows a to b of a cond."""
    rows = slice(a, b)
    return {key: cond[key][rows] for key in cond} if isinstance(cond, dict) else cond[rows]


def pad_cond(tensor: Any, repeats: int, empty: torch.Tensor) -> Any:
    """Append the empty prompt's tokens `repeats` times; a dict is changed in place."""
    if not isinstance(tensor, dict):
        return torch.cat([tensor, empty.repeat(tensor.shape[0], repeats, 1)], dim=1)
    tensor["crossattn"] = pad_cond(tensor["crossattn"], repeats, empty)
    return tensor


def _cond_dict(cond: Any, image_cond: torch.Tensor) -> dict[str, Any]:
    if isinstance(cond, dict):
        return {**cond, "c_concat": [image_cond]}
    return {"c_crossattn": [cond], "c_concat": [image_cond]}


class CFGDenoiser(torch.nn.Module):
    """Takes x and sigma, gives denoised (k-diffusion) or noise (timestep samplers) after guidance."""

    def __init__(self, sampler: Any) -> None:
        super().__init__()
        self.model_wrap: Any = None
        self.mask = self.nmask = self.init_latent = None
        self.steps: int | None = None
        self.total_steps: int | None = None
        self.step = 0
        self.image_cfg_scale: float | None = None
        self.padded_cond_uncond = self.padded_cond_uncond_v0 = False
        self.sampler = sampler
        self.p: Any = None
        self.cond_scale_miltiplier = 1.0
        self.need_last_noise_uncond = False
        self.last_noise_uncond: torch.Tensor | None = None
        self.mask_before_denoising = False

    @property
    def inner_model(self) -> Any:
        """The model wrapped for this sampler."""
        raise NotImplementedError

    def combine_denoised(self, x_out: torch.Tensor, conds_list: Any, uncond: Any, cond_scale: float) -> torch.Tensor:
        """uncond + sum of weight * scale * (cond - uncond) over each image's cond rows."""
        denoised_uncond = x_out[-uncond.shape[0] :]
        denoised = denoised_uncond.clone()
        for i, conds in enumerate(conds_list):
            for row, weight in conds:
                denoised[i] += (x_out[row] - denoised_uncond[i]) * (weight * cond_scale)
        return denoised

    def get_pred_x0(self, x_in: torch.Tensor, x_out: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """x0 of a model output."""
        return x_out

    def update_inner_model(self) -> None:
        """After the model changed: wrap anew, take new conds."""
        self.model_wrap = None
        self.sampler.sampler_extra_args["cond"], self.sampler.sampler_extra_args["uncond"] = self.p.get_conds()

    def pad_cond_uncond(self, cond: Any, uncond: Any) -> tuple[Any, Any]:
        """Make token counts equal with empty prompts."""
        empty = shared.sd_model.cond_stage_model_empty_prompt
        repeats = (cond.shape[1] - uncond.shape[1]) // empty.shape[1]
        if repeats < 0:
            cond = pad_cond(cond, -repeats, empty)
        elif repeats > 0:
            uncond = pad_cond(uncond, repeats, empty)
        self.padded_cond_uncond = self.padded_cond_uncond or repeats != 0
        return cond, uncond

    def pad_cond_uncond_v0(self, cond: Any, uncond: Any) -> tuple[Any, Any]:
        """Make uncond's token count cond's: repeat its last token or cut it."""
        vec = uncond["crossattn"] if isinstance(uncond, dict) else uncond
        more = cond.shape[1] - vec.shape[1]
        self.padded_cond_uncond_v0 = self.padded_cond_uncond_v0 or more != 0
        vec = torch.hstack([vec, vec[:, -1:].repeat(1, more, 1)]) if more > 0 else vec[:, : cond.shape[1]]
        if not isinstance(uncond, dict):
            return cond, vec
        uncond["crossattn"] = vec
        return cond, uncond

    def _blend(self, latent: torch.Tensor) -> torch.Tensor:
        return latent * self.nmask + self.init_latent * self.mask

    def _skips_uncond(self, sigma: torch.Tensor, s_min_uncond: float) -> bool:
        """skip_early_cond or NGMS drops the uncond rows of this call."""
        early = opts.skip_early_cond
        if early != 0.0 and self.step / self.total_steps <= early:
            self.p.extra_generation_params["Skip Early CFG"] = early
            return True
        if (self.step % 2 or opts.s_min_uncond_all) and s_min_uncond > 0 and sigma[0] < s_min_uncond:
            self.p.extra_generation_params["NGMS"] = s_min_uncond
            if opts.s_min_uncond_all:
                self.p.extra_generation_params["NGMS all steps"] = True
            return True
        return False

    def _pad(self, cond: Any, uncond: Any) -> tuple[Any, Any]:
        self.padded_cond_uncond = self.padded_cond_uncond_v0 = False
        if cond.shape[1] == uncond.shape[1]:
            return cond, uncond
        if opts.pad_cond_uncond_v0:
            return self.pad_cond_uncond_v0(cond, uncond)
        if opts.pad_cond_uncond:
            return self.pad_cond_uncond(cond, uncond)
        return cond, uncond

    def _run(self, params: CFGDenoiserParams, skip_uncond: bool, batch_size: int) -> torch.Tensor:
        """Call the model on all rows, in one batch or in pieces."""
        cond, uncond = self._pad(params.text_cond, params.text_uncond)
        params.text_uncond = uncond
        x, sigma, image = params.x, params.sigma, params.image_cond
        if skip_uncond:
            x, sigma = x[:-batch_size], sigma[:-batch_size]
            params.x, params.sigma = x, sigma
        if skip_uncond or cond.shape[1] == uncond.shape[1]:
            rows = cond if skip_uncond else catenate_conds([cond, uncond])
            if opts.batch_cond_uncond:
                return self.inner_model(x, sigma, cond=_cond_dict(rows, image))
            size = batch_size
        else:
            rows = cond
            size = batch_size * 2 if opts.batch_cond_uncond else batch_size
        x_out = torch.zeros_like(x)
        count = x.shape[0] if rows is not cond or skip_uncond else cond.shape[0]
        for a in range(0, count, size):
            b = min(a + size, count)
            cond_in = _cond_dict(subscript_cond(rows, a, b), image[a:b])
            x_out[a:b] = self.inner_model(x[a:b], sigma[a:b], cond=cond_in)
        if count < x.shape[0]:
            n = uncond.shape[0]
            x_out[-n:] = self.inner_model(x[-n:], sigma[-n:], cond=_cond_dict(uncond, image[-n:]))
        return x_out

    def forward(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        uncond: Any,
        cond: Any,
        cond_scale: float,
        s_min_uncond: float,
        image_cond: torch.Tensor,
    ) -> torch.Tensor:
        """One denoiser call for x (B, C, H, W) at sigma (B,)."""
        if state.interrupted or state.skipped:
            raise sd_samplers_common.InterruptedException
        if sd_samplers_common.apply_refiner(self, sigma):
            cond, uncond = (self.sampler.sampler_extra_args[k] for k in ("cond", "uncond"))
        conds_list, cond_rows = prompt_parser.reconstruct_multicond_batch(cond, self.step)
        uncond_rows = prompt_parser.reconstruct_cond_batch(uncond, self.step)
        if self.mask_before_denoising and self.mask is not None:
            x = self._blend(x)
        rows = torch.tensor([i for i, conds in enumerate(conds_list) for _ in conds] + list(range(len(conds_list))))
        params = CFGDenoiserParams(
            x[rows],
            image_cond[rows],
            sigma[rows],
            state.sampling_step,
            state.sampling_steps,
            cond_rows,
            uncond_rows,
            self,
        )
        cfg_denoiser_callback(params)
        skip_uncond = self._skips_uncond(sigma, s_min_uncond)
        x_out = self._run(params, skip_uncond, len(conds_list))
        firsts = [conds[0][0] for conds in conds_list]
        if skip_uncond:
            x_out = torch.cat([x_out, x_out[firsts]])
        cfg_denoised_callback(CFGDenoisedParams(x_out, state.sampling_step, state.sampling_steps, self.inner_model))
        if self.need_last_noise_uncond:
            self.last_noise_uncond = x_out[-params.text_uncond.shape[0] :].clone()
        scale = 1.0 if skip_uncond else cond_scale * self.cond_scale_miltiplier
        denoised = self.combine_denoised(x_out, conds_list, params.text_uncond, scale)
        if not self.mask_before_denoising and self.mask is not None:
            denoised = self._blend(denoised)
        return self._finish(params.x, x_out, denoised, firsts, sigma)

    def _finish(self, x_in: Any, x_out: Any, denoised: Any, firsts: list[int], sigma: Any) -> torch.Tensor:
        """Previews, the last callback, the call counter."""
        self.sampler.last_latent = self.get_pred_x0(x_in[firsts], x_out[firsts], sigma)
        preview = self.sampler.last_latent
        if opts.live_preview_content == "Negative prompt":
            preview = self.get_pred_x0(x_in[-len(firsts) :], x_out[-len(firsts) :], sigma)
        elif opts.live_preview_content != "Prompt":
            preview = self.get_pred_x0(x_in[firsts], denoised, sigma)
        sd_samplers_common.store_latent(preview)
        params = AfterCFGCallbackParams(denoised, state.sampling_step, state.sampling_steps)
        cfg_after_cfg_callback(params)
        self.step += 1
        return params.x
