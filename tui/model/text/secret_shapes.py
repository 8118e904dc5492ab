"""Secrets that are recognized by their shape alone.

Every pattern runs over hostile text, so none may take more than linear time.
"""

from __future__ import annotations

import re
from typing import Final

RUN: Final = re.compile(r"[A-Za-z0-9_-]{16}|-----")
"""Every one of ``TOKENS`` contains this."""

TOKENS: Final = re.compile(
    r"""
    # Source forges and package registries
    gh[oprsu]_[A-Za-z0-9]{20,} | github_pat_\w{20,}
  | gl(?:pat|dt|rt|ptt|ft|soat|cbt|oas|agent|imt|ffct)-[\w.-]{16,}
  | npm_[A-Za-z0-9]{36} | pypi-AgE[\w-]{20,} | rubygems_[a-f0-9]{32,} | dckr_[op]at_[\w-]{20,}
  | cio[A-Za-z0-9]{32} | ATATT3[\w=-]{20,} | AT(?:BB|CTT3)[\w=-]{20,} | AKCp[A-Za-z0-9]{50,}
    # Clouds
  | (?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9]) | LTAI[A-Za-z0-9]{16,}
  | AIza[\w-]{35} | ya29\.[\w-]{20,} | GOCSPX-[\w-]{20,} | (?<!\w)1//0[\w-]{30,}
  | do[opr]_v1_[a-f0-9]{32,} | [\w-]{3,5}8Q~[\w.~-]{31,34}
  | dapi[a-f0-9]{32} | dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{20,} | pul-[a-f0-9]{40}
  | [A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,} | hv[sbr]\.[\w-]{20,} | tskey-[a-z]{1,12}-[\w-]{10,}
  | SWMTKN-1-[a-z0-9-]{30,} | fm[12]_[\w+/=]{30,} | pscale_(?:tkn|pw|oauth)_[\w.-]{20,} | sbp_[a-f0-9]{32,}
  | sb_secret_[\w-]{20,} | nfp_[A-Za-z0-9]{20,} | CFPAT-[\w-]{20,} | ops_eyJ[\w+/=-]{20,}
    # Messages, mail, calls
  | xox[abceoprs]-[\w-]{10,} | xapp-[\w-]{10,} | (?<!\d)\d{8,10}:AA[\w-]{33}
  | (?<![\w.-])[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}
  | SG\.[\w-]{16,32}\.[\w-]{16,64} | (?<![A-Za-z0-9])SK[a-f0-9]{32}(?![A-Za-z0-9])
  | (?<![A-Za-z0-9-])key-[a-f0-9]{32} | (?<![A-Za-z0-9])[a-f0-9]{32}-us\d{1,2}
  | xkeysib-[a-f0-9]{32,}[\w-]{0,32}
    # Money, shops
  | [rs]k_(?:live|test)_[A-Za-z0-9]{16,} | whsec_[A-Za-z0-9+/=]{16,} | sq0[a-z]{3}-[\w-]{20,}
  | shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}
    # Models, monitoring, other services
  | (?<![A-Za-z0-9])sk-[\w-]{20,} | hf_[A-Za-z0-9]{30,} | r8_[A-Za-z0-9]{30,} | gsk_[A-Za-z0-9]{40,}
  | xai-[A-Za-z0-9]{40,} | pplx-[A-Za-z0-9]{40,} | gl(?:sa|c)_[\w+/=]{30,} | NRAK-[A-Z0-9]{27}
  | sntry[su]_[\w+/=.-]{20,}
  | PMAK-[a-f0-9-]{40,} | lin_api_[A-Za-z0-9]{30,} | ntn_[A-Za-z0-9]{40,} | (?<!\w)secret_[A-Za-z0-9]{43}
  | figd_[\w-]{30,} | bkua_[a-f0-9]{40} | CCIPAT_\w{30,} | (?<!\w)pat[A-Za-z0-9]{14}\.[a-f0-9]{40,}
    # Keys, signed claims, hashes of passwords
  | eyJ[\w-]{17,}(?:\.[\w-]+){0,4}
  | AGE-SECRET-KEY-1[A-Z0-9]{20,}
  | \$(?:1|2[abxy]|5|6|7|y|gy|argon2(?:id|i|d)|apr1|pbkdf2[\w-]{0,16})\$[\w./$,=+-]{20,}
  | -----BEGIN[ ][A-Z0-9 ]{0,40}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----
    (?:[^-]|-(?!----END))*(?:-----END[^-\n]{0,60}-----)?
  | PuTTY-User-Key-File-\d:[^\0]*
    """,
    re.VERBOSE,
)

IN_USERINFO: Final = re.compile(
    r"""
    # user:password@host; a password may have a slash, while behind a port's digits only a path comes
    (?P<keep1>://[^/\s:@"'<>]*:)
    (?P<secret1>[^/\s"'<>]+(?=@)|(?!\d{1,5}[/,])[^\s@"'<>]{1,256}(?=@[\w.\[-]))
    # A name alone, which over HTTP or where it is long is a token
  | (?P<keep2>(?:https?|telegram|tgram|slack|discord|pushover|pushbullet|gotify|teams|zulip|opsgenie|ifttt)://)
    (?P<secret2>[^/\s:@?\#"'<>]+)(?=@)
  | (?P<keep3>://)(?P<secret3>[^/\s:@"'<>]{20,256})(?=@)
    # Without a scheme: of a proxy, of Go's MySQL driver, of Oracle's
  | (?<![\w./:@-])(?P<keep4>(?!(?:mailto|sips?|xmpp|acct|sha256):)[A-Za-z_][\w.-]{0,63}:)
    (?P<secret4>[^\s@:/"'<>,]{3,128})
    (?=@(?:(?:tcp|unix)\(|(?!sha\d)[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}(?::\d|\.[a-z]{2,16}(?:/|\s|$)|/)))
    # A host without a dot: only where the password is no word
  | (?<![\w./:@-])(?P<keep6>(?!(?:mailto|sips?|xmpp|acct|npm):)(?:[\w.-]{1,64}[/\\])?[A-Za-z_][\w.-]{0,63}:)
    (?P<secret6>(?-i:(?=[^\s@]{0,127}[0-9])(?=[^\s@]{0,127}[a-z])(?=[^\s@]{0,127}[A-Z]))[^\s@:/"'<>,]{8,128})
    (?=@(?!sha\d)[A-Za-z0-9][\w.-]{0,253}(?![\w.:-]))
  | (?P<keep5>:thin:[^/\s@]{1,64}/)(?P<secret5>[^\s@]{1,128})(?=@)
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""The user information before the @ of an address."""

IN_ADDRESS: Final = re.compile(
    r"""
    (?P<keep1>hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/
      | discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{1,20}/
      | \.webhook\.office\.com/webhookb?2?/ | outlook\.office(?:365)?\.com/webhook/
      | hooks\.zapier\.com/hooks/catch/ | events\.pagerduty\.com/integration/
      | maker\.ifttt\.com/trigger/[\w-]{1,64}/(?:json/)?with/key/
      | open\.(?:feishu\.cn|larksuite\.com)/open-apis/bot/v2/hook/
      | hc-ping\.com/ | hooks\.chime\.aws/incomingwebhooks/ )(?P<secret1>[^\s"'<>?&]{4,1024})
  | (?P<keep2>/(?:web)?hooks?/(?:[\w.-]{1,64}/){0,3})(?P<secret2>[\w-]{16,256})(?![\w/.-])
  | (?P<keep4>/(?:web)?hooks?/(?:[\w.-]{1,64}/){0,3})
    (?P<secret4>(?-i:(?=[\w-]{0,15}[0-9])(?=[\w-]{0,15}[a-z])(?=[\w-]{0,15}[A-Z]))[\w-]{8,15})(?![\w/.-])
  | (?P<keep5>api\.telegram\.org/(?:file/)?bot)(?P<secret5>[^\s"'<>?&/]{4,256})
  | (?P<keep6>[?&](?:t|tk|k|tok)=)
    (?P<secret6>(?-i:(?=[\w-]{0,99}[0-9])(?=[\w-]{0,99}[a-z])(?=[\w-]{0,99}[A-Z]))[\w-]{10,256})(?![^\s&"'<>\#])
  | (?P<keep3>[?&](?:key|sig|auth|code|sign|pass|pw|pwd)=)
    (?P<secret3>(?=[^\s&"'<>]*[A-Z0-9%])[^\s&"'<>\#]{6,})
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Addresses that are passwords themselves, and parameters of some."""

IN_HEADER: Final = re.compile(
    r"""(?P<keep1>(?:authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:(?:basic|bearer|digest|token|negotiate)\s{1,4})?)
      | (?<!\w)(?:set-)?cookie:\s{0,4})(?P<secret1>[^"'\r\n]+)
  | (?P<keep2>(?<!\w)bearer\s{1,4})(?P<secret2>[\w.~+/=-]{8,})
    # Openssl's password arguments
  | (?P<keep3>^pass:)(?P<secret3>[^\n]+)
  | (?P<keep4>[\s=]pass:)(?P<secret4>[^\s"']+)
    """,
    re.VERBOSE | re.IGNORECASE,
)
