"""Machine code (x86-64) that tells a false time of day: what a shifted process runs in place of its vDSO's clock functions.

Each function makes the real system call, and where the clock asked for is CLOCK_REALTIME or CLOCK_REALTIME_COARSE adds
`offset_ns + (now - since_ns) * rate_ppb / 1e9`, normalised. Every other clock stays true. Position-independent; uses the stack's
red zone, no memory of its own but the five words at its head; keeps every register that a C function must keep.

The listing is the source: bytes on the left, what an assembler makes them of (Intel syntax) on the right; a test compares them.
"""

from __future__ import annotations

LISTING = """
magic:
    6368616f73636c6b       .ascii "chaosclk"
tag:
    0000000000000000       .quad 0
offset_ns:
    0000000000000000       .quad 0
rate_ppb:
    0000000000000000       .quad 0
since_ns:
    0000000000000000       .quad 0
clock_gettime:
    b8e4000000             mov eax, 228
    0f05                   syscall
    4885c0                 test rax, rax
    7525                   jnz 1f
    85ff                   test edi, edi
    7405                   jz 2f
    83ff05                 cmp edi, 5
    751c                   jne 1f
2:
    4989f0                 mov r8, rsi
    4c690e00ca9a3b         imul r9, [rsi], 1000000000
    4c034e08               add r9, [rsi+8]
    e876000000             call shifted
    498900                 mov [r8], rax
    49895008               mov [r8+8], rdx
    31c0                   xor eax, eax
1:
    c3                     ret
gettimeofday:
    b860000000             mov eax, 96
    0f05                   syscall
    4885c0                 test rax, rax
    7532                   jnz 1f
    4885ff                 test rdi, rdi
    742d                   jz 1f
    4c690f00ca9a3b         imul r9, [rdi], 1000000000
    48694708e8030000       imul rax, [rdi+8], 1000
    4901c1                 add r9, rax
    e844000000             call shifted
    488907                 mov [rdi], rax
    4889d0                 mov rax, rdx
    31d2                   xor edx, edx
    b9e8030000             mov ecx, 1000
    48f7f1                 div rcx
    48894708               mov [rdi+8], rax
    31c0                   xor eax, eax
1:
    c3                     ret
time:
    4989f8                 mov r8, rdi
    488d7424e0             lea rsi, [rsp-32]
    bf05000000             mov edi, 5
    b8e4000000             mov eax, 228
    0f05                   syscall
    4c690e00ca9a3b         imul r9, [rsi], 1000000000
    4c034e08               add r9, [rsi+8]
    e809000000             call shifted
    4d85c0                 test r8, r8
    7403                   jz 1f
    498900                 mov [r8], rax
1:
    c3                     ret
shifted:
    4c89c8                 mov rax, r9
    482b0550ffffff         sub rax, [rip+since_ns]
    b900ca9a3b             mov ecx, 1000000000
    48f72d3cffffff         imul qword ptr [rip+rate_ppb]
    48f7f9                 idiv rcx
    4803052affffff         add rax, [rip+offset_ns]
    4c01c8                 add rax, r9
    4899                   cqo
    48f7f9                 idiv rcx
    4885d2                 test rdx, rdx
    7906                   jns 1f
    48ffc8                 dec rax
    4801ca                 add rdx, rcx
1:
    c3                     ret
"""


def _assembled() -> tuple[bytes, dict[str, int]]:
    code = bytearray()
    labels: dict[str, int] = {}
    for line in LISTING.strip().splitlines():
        if line.startswith(" "):
            code += bytes.fromhex(line.split()[0])
        else:
            labels.setdefault(line.rstrip(":"), len(code))
    return bytes(code), labels


CODE, LABELS = _assembled()
"""The bytes, and where in them each label is."""
