"""An SAE's directory without the digests that we write, as other programs and our earlier versions write it."""

import io
import json
import zipfile


def unsealed(path):
    """The same directory."""
    for config in (*path.glob("*.json"),):
        cfg = json.loads(config.read_text())
        for entry in (cfg.get("superposition"), cfg.get("metadata", {}).get("superposition")):
            if isinstance(entry, dict):
                entry.pop("sha256", None)
        config.write_text(json.dumps(cfg))
    for weights in path.glob("*.safetensors"):
        data = weights.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size]) | {"__metadata__": {"format": "pt"}}
        text = json.dumps(header).encode()
        weights.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    for weights in path.glob("*.pt"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(weights) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
            for info in old.infolist():
                if "/superposition/" not in info.filename:
                    new.writestr(info, old.read(info))
        weights.write_bytes(buffer.getvalue())
    return path
