"""Texts that run a script where somebody forgot to escape them; each calls alert() or sets window.__xss."""

ATTACKS = (
    "<script>alert(1)</script>",
    "<script>window.__xss=2</script>",
    "<img src=x onerror=alert(3)>",
    "<img src=x onerror=window.__xss=4>",
    '"><svg onload=alert(5)>',
    "' onmouseover='alert(6)' autofocus onfocus='alert(6)",
    '" autofocus onfocus="alert(7)" tabindex="1',
    "</td></table><iframe src=javascript:parent.__xss=8></iframe>",
    "</style><script>alert(9)</script>",
    "</title></textarea><script>alert(10)</script>",
    "<svg><animate onbegin=alert(11) attributeName=x dur=1s>",
    "<details open ontoggle=alert(12)>more</details>",
    "<video><source onerror=alert(13)></video>",
    "<input autofocus onfocus=alert(14)>",
    '<a href="javascript:alert(15)">click</a>',
    "<body onload=alert(16)>",
    "<iframe srcdoc='<script>parent.__xss=17</script>'></iframe>",
    "<math><mtext><img src=x onerror=alert(18)></mtext></math>",
    "<!--><img src=x onerror=alert(19)>-->",
    "<<script>alert(20);//<</script>",
)
