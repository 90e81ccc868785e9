"""Models of the usual fine-tuning sizes in transformers, with random weights: optimizer steps as in its Trainer (bf16
autocast over f32 weights, fused AdamW, SDPA attention), and `generate`.

`benches/size.py` starts it with one setting as JSON. It prints one JSON object.
"""

import json
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

RATE, BETAS, DECAY, CLIP = 1e-5, (0.9, 0.98), 0.01, 1.0


def model(setting):
    sizes = setting["model"]
    config = LlamaConfig(
        vocab_size=setting["vocabulary"],
        hidden_size=sizes["width"],
        intermediate_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        max_position_embeddings=sizes["positions"],
        tie_word_embeddings=sizes.get("tied", False),
        attn_implementation="sdpa",
    )
    with torch.device("cuda"):
        net = LlamaForCausalLM(config)
    if not setting["lora"]:
        return net
    from peft import LoraConfig, get_peft_model

    if setting["precision"] == "bf16":
        net = net.to(torch.bfloat16)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return get_peft_model(net, LoraConfig(r=setting["lora"], lora_alpha=2 * setting["lora"], target_modules=targets))


def training(setting, net):
    net.train()
    parameters = [p for p in net.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, fused=True)
    shape = (setting["batch"], setting["length"])
    seconds, losses = [], []
    for _ in range(setting["steps"] + 2):
        tokens = torch.randint(setting["vocabulary"], shape, device="cuda")
        torch.cuda.synchronize()
        began = time.perf_counter()
        piece = max(1, setting["piece"] // setting["length"])
        total = 0.0
        for part in tokens.split(piece):
            with torch.autocast("cuda", torch.bfloat16, enabled=setting["precision"] == "bf16"):
                loss = net(part, labels=part, use_cache=False).loss * (len(part) / len(tokens))
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(total))
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return {"tokens": shape[0] * shape[1], "seconds": seconds, "losses": losses}


@torch.inference_mode()
def generation(setting, net):
    net.eval()
    dtype = torch.bfloat16 if setting["precision"] == "bf16" else torch.float32
    net = net.to(dtype)
    seconds = []
    for _ in range(3):
        prompts = torch.randint(setting["vocabulary"], (setting["prompts"], setting["prompt"]), device="cuda")
        torch.cuda.synchronize()
        began = time.perf_counter()
        out = net.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            min_new_tokens=setting["tokens"],
            max_new_tokens=setting["tokens"],
            pad_token_id=0,
        )
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return {"tokens": (out.shape[1] - setting["prompt"]) * setting["prompts"], "seconds": seconds}


def main():
    setting = json.loads(sys.argv[1])
    torch.backends.cuda.matmul.allow_tf32 = False
    net = model(setting)
    answer = {
        "device": torch.cuda.get_device_name(),
        "version": f"torch {torch.__version__}",
        "parameters": sum(p.numel() for p in net.parameters()),
    }
    if setting["steps"]:
        answer["training"] = training(setting, net)
        answer["training"]["peak"] = torch.cuda.max_memory_allocated()
    if setting["prompts"]:
        net.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        answer["generation"] = generation(setting, net)
        answer["generation"]["peak"] = torch.cuda.max_memory_allocated()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
