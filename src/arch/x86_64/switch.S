/* The stack switch of x86-64.
 *
 * What    Callee-saved registers and the two floating-point control words are pushed, the stack
 *         pointer is exchanged, the same is popped.
 * Shape   A stack that is not running, from its saved pointer upward:
 *
 *             sp + 0   MXCSR (4 bytes), x87 control word (2), pad (2)
 *             sp + 8   r15  r14  r13  r12  rbx  rbp
 *             sp + 56  return address
 *
 *         weir__arch_context_init and weir__arch_context_regs know this picture.
 * Order   on_cpu of the context left is cleared only after its stack pointer is stored and this
 *         thread no longer uses its stack; x86 stores are releases.
 * Cost    3.7 ns. A processor predicts the target of a ret from the calls that came before. So where
 *         the context that goes on has been left by the same call as this one, it ends in ret: the
 *         prediction is right, and so it is for the returns that follow, as far as both were called
 *         alike; all of the runtime's switches but those to new goroutines are of this kind. (With
 *         pop and jmp, each of the returns that follow is off by one call, and mispredicted: 20 ns
 *         for a goroutine that wakes inside a channel.) Where it is another call, a ret would
 *         mispredict, 9.6 ns, and it ends in pop and jmp.
 *         The control words are loaded only when they differ, for loading stalls.
 * Not     The signal mask (a system call), caller-saved registers (the compiler saved them). With
 *         shadow stacks the shadow pointer would be switched here; the entries are ENDBR-marked. */

        .text

        .globl  weir__arch_switch
        .hidden weir__arch_switch
        .type   weir__arch_switch, @function
        .p2align 5
weir__arch_switch:                              /* rdi: from, rsi: to */
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %eax
        movzwl  4(%rsp), %ecx
        movq    56(%rsp), %rdx                  /* where the caller goes on when it comes back */
        movq    %rsp, (%rdi)
        movq    (%rsi), %rsp                    /* the other stack, the same picture */
        movl    $0, 8(%rdi)                     /* release: what was left may now run elsewhere */
        cmpl    (%rsp), %eax
        jne     .Lcontrol
        cmpw    4(%rsp), %cx
        jne     .Lcontrol
        .cfi_remember_state
.Lrestore:
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        cmpq    (%rsp), %rdx
        jne     .Lelsewhere
        ret
.Lelsewhere:
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rcx
        jmp     *%rcx
.Lcontrol:
        .cfi_restore_state
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        jmp     .Lrestore
        .cfi_endproc
        .size   weir__arch_switch, . - weir__arch_switch

/* Where a fresh context begins: r12 holds the function, r13 its argument. The return address is
 * undefined, which tells debuggers, profilers and the unwinder that this is the outermost frame. */
        .globl  weir__arch_entry
        .hidden weir__arch_entry
        .type   weir__arch_entry, @function
        .p2align 4
weir__arch_entry:
        .cfi_startproc
        .cfi_undefined %rip
        .cfi_undefined %rbp
        endbr64
        xorl    %ebp, %ebp
        movq    %r13, %rdi
        callq   *%r12
        ud2
        .cfi_endproc
        .size   weir__arch_entry, . - weir__arch_entry

/* Where code goes on that a signal interrupted and that is to panic: rsp points to a struct regs
 * with the registers at the interruption, r12 and r13 are as above. The tables say: the caller's
 * frame ends at the rsp found there, each register is in its place there, and it is a signal frame,
 * so that its address is the interrupted one and not the one behind a call. The escapes are
 * DW_CFA_def_cfa_expression { rsp + 56, deref } and DW_CFA_expression { rsp + 8 * n } for n =
 * 0..16. */
        .globl  weir__arch_fault_entry
        .hidden weir__arch_fault_entry
        .type   weir__arch_fault_entry, @function
        .p2align 4
        nop                                     /* an unwinder may look up the byte before */
weir__arch_fault_entry:
        .cfi_startproc
        .cfi_signal_frame
        .cfi_escape 0x0f, 0x03, 0x77, 0x38, 0x06
        .cfi_escape 0x10, 0x00, 0x02, 0x77, 0x00
        .cfi_escape 0x10, 0x01, 0x02, 0x77, 0x08
        .cfi_escape 0x10, 0x02, 0x02, 0x77, 0x10
        .cfi_escape 0x10, 0x03, 0x02, 0x77, 0x18
        .cfi_escape 0x10, 0x04, 0x02, 0x77, 0x20
        .cfi_escape 0x10, 0x05, 0x02, 0x77, 0x28
        .cfi_escape 0x10, 0x06, 0x02, 0x77, 0x30
        .cfi_escape 0x10, 0x07, 0x02, 0x77, 0x38
        .cfi_escape 0x10, 0x08, 0x03, 0x77, 0xc0, 0x00
        .cfi_escape 0x10, 0x09, 0x03, 0x77, 0xc8, 0x00
        .cfi_escape 0x10, 0x0a, 0x03, 0x77, 0xd0, 0x00
        .cfi_escape 0x10, 0x0b, 0x03, 0x77, 0xd8, 0x00
        .cfi_escape 0x10, 0x0c, 0x03, 0x77, 0xe0, 0x00
        .cfi_escape 0x10, 0x0d, 0x03, 0x77, 0xe8, 0x00
        .cfi_escape 0x10, 0x0e, 0x03, 0x77, 0xf0, 0x00
        .cfi_escape 0x10, 0x0f, 0x03, 0x77, 0xf8, 0x00
        .cfi_escape 0x10, 0x10, 0x03, 0x77, 0x80, 0x01
        endbr64
        movq    %r13, %rdi
        callq   *%r12
        ud2
        .cfi_endproc
        .size   weir__arch_fault_entry, . - weir__arch_fault_entry

/* Stores the caller's registers, DWARF order, in the struct regs at rdi. */
        .globl  weir__arch_capture
        .hidden weir__arch_capture
        .type   weir__arch_capture, @function
        .p2align 4
weir__arch_capture:
        .cfi_startproc
        endbr64
        movq    %rbx, 24(%rdi)
        movq    %rbp, 48(%rdi)
        leaq    8(%rsp), %rax
        movq    %rax, 56(%rdi)
        movq    %r12, 96(%rdi)
        movq    %r13, 104(%rdi)
        movq    %r14, 112(%rdi)
        movq    %r15, 120(%rdi)
        movq    (%rsp), %rax
        movq    %rax, 128(%rdi)
        ret
        .cfi_endproc
        .size   weir__arch_capture, . - weir__arch_capture

/* The thread's struct m. Defined here and not in C, so that link-time optimisation can neither
 * rename nor cache what the inline assembly of arch.h refers to. */
        .section .tbss, "awT", @nobits
        .globl  weir__arch_m
        .hidden weir__arch_m
        .type   weir__arch_m, @object
        .size   weir__arch_m, 8
        .p2align 3
weir__arch_m:
        .zero   8

        .section .note.GNU-stack, "", @progbits
