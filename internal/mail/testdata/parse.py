"""Reads mails as Python's email package does, which knows nothing of how they were composed.

Standard input is a JSON list of mails in base64; standard output is a JSON list of what each says.
"""
import base64
import email
import email.header
import email.policy
import email.utils
import json
import sys


def addresses(message, plain, name):
    """The addresses by the one parser of the package, the names by the other.

    The newer keeps the space between two encoded words of a name, against RFC 2047, in most releases.
    """
    header = message[name]
    if header is None:
        return []
    names = [n for n, _ in email.utils.getaddresses([plain[name]])]
    assert len(names) == len(header.addresses) or not header.addresses, (names, header.addresses)
    return [
        {"name": str(email.header.make_header(email.header.decode_header(n))), "address": a.addr_spec}
        for n, a in zip(names, header.addresses)
    ]


def shape(part):
    """The types of the parts, nested as they are."""
    if part.is_multipart():
        inner = ", ".join(shape(p) for p in part.iter_parts())
        return part.get_content_type() + "(" + inner + ")"
    return part.get_content_type()


def defects(part):
    found = [repr(d) for d in part.defects]
    for name, value in part.items():
        # The file's name in Content-Type is for programs that know no RFC 2231; Python isn't one of them.
        if name.lower() != "content-type":
            found += [name + ": " + repr(d) for d in getattr(value, "defects", [])]
    if part.is_multipart():
        for p in part.iter_parts():
            found += defects(p)
    return found


def body(message, kind):
    part = message.get_body((kind,))
    return None if part is None else part.get_content()


def read(raw):
    message = email.message_from_bytes(raw, policy=email.policy.default)
    plain = email.message_from_bytes(raw)
    files = []
    for part in message.walk():
        if part.get_content_disposition() is None:
            continue
        content_type = part["content-type"]
        files.append({
            "filename": part.get_filename() or "",
            "type": part.get_content_type(),
            "params": {k: v for k, v in content_type.params.items() if k != "name"},
            "disposition": part.get_content_disposition(),
            "content_id": (part["content-id"] or "").strip("<>"),
            "content": base64.b64encode(part.get_payload(decode=True)).decode(),
        })
    return {
        "subject": str(message["subject"]),
        "date": message["date"].datetime.isoformat(),
        "message_id": str(message["message-id"]),
        "from": addresses(message, plain, "from"),
        "reply_to": addresses(message, plain, "reply-to"),
        "to": addresses(message, plain, "to"),
        "cc": addresses(message, plain, "cc"),
        "text": body(message, "plain"),
        "html": body(message, "html"),
        "files": files,
        "shape": shape(message),
        "names": [name for name in message.keys()],
        "unsubscribe": str(message["list-unsubscribe"] or "").strip("<>"),
        "defects": defects(message),
    }


mails = json.load(sys.stdin)
json.dump([read(base64.b64decode(m)) for m in mails], sys.stdout)
