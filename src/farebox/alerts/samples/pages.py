"""Sample mails as pages for a browser: each as a mail program shows it, and all of them side by side."""

from base64 import b64encode
from collections.abc import Sequence
from email.message import EmailMessage
from html import escape

from farebox.alerts.samples.mails import Sample

_STYLE = """
body { margin: 24px; font: 15px/1.4 system-ui, sans-serif; color: #1b1b1b; background: #e9e9ec; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 20px; }
h1 { font-size: 22px; } h2 { font-size: 15px; margin: 0 0 2px; } p { margin: 0 0 6px; }
iframe { width: 100%; height: 620px; border: 1px solid #b5b5bd; background: #fff; }
"""


def opened_page(message: EmailMessage) -> str:
    """Return a mail's HTML with the pictures that the mail carries in it, as nothing else is there to show them.

    Raises:
        LookupError: the mail has no HTML.
    """
    html = message.get_body(("html",))
    if html is None:
        raise LookupError("the mail has no HTML")
    text: str = html.get_content().replace("\r\n", "\n")
    for part in message.walk():
        if part.get_content_maintype() == "image":
            source = f"data:{part.get_content_type()};base64,{b64encode(part.get_content()).decode()}"
            text = text.replace(f"cid:{part['Content-ID'].strip('<>')}", source)
    return text


def overview_page(samples: Sequence[Sample]) -> str:
    """Return one page that shows all these mails, each with its name and its subject."""
    mails = "\n".join(
        f"<section><h2>{escape(sample.name)}</h2><p>{escape(str(sample.message['Subject']))}</p>"
        f'<iframe title="{escape(sample.name)}" srcdoc="{escape(opened_page(sample.message))}"></iframe></section>'
        for sample in samples
    )
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Sample mails</title>\n'
        f"<style>{_STYLE}</style>\n<h1>Sample mails</h1>\n<main>\n{mails}\n</main>\n</html>\n"
    )
