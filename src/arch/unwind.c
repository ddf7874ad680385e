/* The unwinder: walks a C stack by the call frame information that the compiler wrote.
 *
 * What    From the registers of a frame to those of its caller, by .eh_frame: every function of
 *         C, C++ or annotated assembly has an entry there, frame pointer or not.
 * Shape   PT_GNU_EH_FRAME leads to a sorted table from address to FDE; an FDE names its CIE; the
 *         instructions of both, run up to the address, give a rule for each register.
 * Cost    About 1 us a frame, nearly all of it the kernel's copying of the stack.
 * Not     _Unwind_Backtrace: it walks only the stack it runs on, while a dump must walk thousands
 *         of parked ones and a fault handler one that has no room left. Frame pointers: Debian's
 *         libc and most programs have none. libunwind, libdw: the core links only libc.
 *
 * Encodings and instructions: DWARF 5 section 6.4 and the Linux Standard Base, chapter on
 * .eh_frame. */
#include "arch/arch.h"
#include "os/os.h"

/* ---- reading tables, which lie in read-only segments and are trusted ---- */

enum { ENC_OMIT = 0xff, ENC_INDIRECT = 0x80, ENC_PCREL = 0x10, ENC_DATAREL = 0x30 };

static uint64_t read_bytes(const uint8_t **p, unsigned n)
{
        uint64_t v = 0;

        memcpy(&v, *p, n);
        *p += n;
        return v;
}

/* A LEB128 number; a signed one is extended from its last byte. */
static uint64_t read_leb(const uint8_t **p, bool is_signed)
{
        uint64_t v = 0;
        unsigned shift = 0;
        uint8_t  b;

        do {
                b = *(*p)++;
                if (shift < 64)
                        v |= (uint64_t)(b & 0x7f) << shift;
                shift += 7;
        } while (b & 0x80);
        if (is_signed && shift < 64 && (b & 0x40))
                v |= ~UINT64_C(0) << shift;
        return v;
}

static uint64_t read_uleb(const uint8_t **p)
{
        return read_leb(p, false);
}

static int64_t read_sleb(const uint8_t **p)
{
        return (int64_t)read_leb(p, true);
}

static uint64_t read_encoded(const uint8_t **p, uint8_t enc, uintptr_t data)
{
        uintptr_t here = (uintptr_t)*p;
        uint64_t  v;

        switch (enc & 0x0f) {
        case 0x01:
                v = read_uleb(p);
                break;
        case 0x02:
                v = read_bytes(p, 2);
                break;
        case 0x03:
                v = read_bytes(p, 4);
                break;
        case 0x09:
                v = (uint64_t)read_sleb(p);
                break;
        case 0x0a:
                v = (uint64_t)(int16_t)read_bytes(p, 2);
                break;
        case 0x0b:
                v = (uint64_t)(int32_t)read_bytes(p, 4);
                break;
        default:
                v = read_bytes(p, 8);
                break;
        }
        if ((enc & 0x70) == ENC_PCREL)
                v += here;
        else if ((enc & 0x70) == ENC_DATAREL)
                v += data;
        if (enc & ENC_INDIRECT)
                memcpy(&v, (const void *)(uintptr_t)v, sizeof v);
        return v;
}

/* ---- from address to FDE ---- */

struct cfi {
        const uint8_t *init, *init_end;         /* the CIE's instructions */
        const uint8_t *code, *code_end;         /* the FDE's */
        uintptr_t      low, high;               /* what the FDE covers */
        uint64_t       code_align;
        int64_t        data_align;
        unsigned       ra;                      /* the return address's column */
        bool           signal_frame;
};

static bool parse_cie(const uint8_t *p, struct cfi *c, uint8_t *ret_enc, bool *ret_augmented)
{
        uint32_t       size = (uint32_t)read_bytes(&p, 4);
        const uint8_t *end = p + size, *data_end = NULL;
        const char    *aug;
        uint8_t        version;

        if (size == 0 || size == 0xffffffff || read_bytes(&p, 4) != 0)
                return false;
        version = *p++;
        aug = (const char *)p;
        p += strlen(aug) + 1;
        c->code_align = read_uleb(&p);
        c->data_align = read_sleb(&p);
        c->ra = version == 1 ? *p++ : (unsigned)read_uleb(&p);
        *ret_enc = 0;
        *ret_augmented = aug[0] == 'z';
        for (; *aug; aug++) {
                switch (*aug) {
                case 'z': {
                        uint64_t n = read_uleb(&p);

                        data_end = p + n;
                        break;
                }
                case 'R':
                        *ret_enc = *p++;
                        break;
                case 'P': {
                        uint8_t enc = *p++;

                        (void)read_encoded(&p, enc & (uint8_t)~ENC_INDIRECT, 0);
                        break;
                }
                case 'L':
                        p++;
                        break;
                case 'S':
                        c->signal_frame = true;
                        break;
                default:
                        if (!data_end)
                                return false;
                        break;
                }
        }
        c->init = data_end ? data_end : p;
        c->init_end = end;
        return true;
}

static bool parse_fde(const uint8_t *p, struct cfi *c)
{
        uint32_t       size = (uint32_t)read_bytes(&p, 4);
        const uint8_t *end = p + size, *id = p;
        uint32_t       back = (uint32_t)read_bytes(&p, 4);
        uint8_t        enc;
        bool           augmented;

        if (size == 0 || size == 0xffffffff || !back || !parse_cie(id - back, c, &enc, &augmented))
                return false;
        c->low = read_encoded(&p, enc, 0);
        c->high = c->low + read_encoded(&p, enc & 0x0f, 0);
        if (augmented) {
                uint64_t n = read_uleb(&p);

                p += n;
        }
        c->code = p;
        c->code_end = end;
        return true;
}

static bool find_fde(uintptr_t pc, struct cfi *c)
{
        struct os_image image;
        const uint8_t  *hdr, *p;
        uint8_t         ptr_enc, count_enc, table_enc;
        uint64_t        count, low, high;
        int32_t         fde;

        if (!weir__os_image_find((const void *)pc, &image) || !image.eh_frame_hdr)
                return false;
        hdr = p = image.eh_frame_hdr;
        if (*p++ != 1)
                return false;
        ptr_enc = *p++;
        count_enc = *p++;
        table_enc = *p++;
        (void)read_encoded(&p, ptr_enc, (uintptr_t)hdr);
        if (count_enc == ENC_OMIT || table_enc != (ENC_DATAREL | 0x0b))
                return false;                   /* no linker writes another form of table */
        count = read_encoded(&p, count_enc, (uintptr_t)hdr);
        for (low = 0, high = count; low < high;) {
                uint64_t mid = (low + high) / 2;
                int32_t  start;

                memcpy(&start, p + mid * 8, 4);
                if ((uintptr_t)hdr + (uintptr_t)(intptr_t)start <= pc)
                        low = mid + 1;
                else
                        high = mid;
        }
        if (!low)
                return false;
        memcpy(&fde, p + (low - 1) * 8 + 4, 4);
        *c = (struct cfi){ 0 };
        return parse_fde(hdr + fde, c) && pc >= c->low && pc < c->high;
}

/* ---- the stack, which is not trusted ---- */

static bool read_word(struct walk *w, uintptr_t at, uint64_t *ret)
{
        /* Written so that no sum can wrap: at may be any number, for instance the last address. */
        if (w->seen_size < sizeof *ret || at < w->seen_at ||
            at - w->seen_at > w->seen_size - sizeof *ret) {
                w->seen_at = at;
                w->seen_size = weir__os_peek(w->seen, (const void *)at, sizeof w->seen);
                if (w->seen_size < sizeof *ret)
                        return false;
        }
        memcpy(ret, w->seen + (at - w->seen_at), sizeof *ret);
        return true;
}

/* Runs a DWARF expression, the few operations that compilers use in frame tables (signal
 * trampolines, procedure linkage tables, realigned stacks). */
static bool evaluate(struct walk *w, const uint8_t *p, const uint8_t *end, uint64_t *stack,
                     unsigned n, uint64_t *ret)
{
        enum { DEPTH = 16 };

        while (p < end) {
                uint8_t op = *p++;

                if (n >= DEPTH - 1)
                        return false;
                if (op >= 0x30 && op <= 0x4f) {
                        stack[n++] = op - 0x30u;
                } else if (op >= 0x70 && op <= 0x70 + ARCH_PC) {
                        stack[n++] = w->regs.r[op - 0x70] + (uint64_t)read_sleb(&p);
                } else if (op == 0x06 && n) {
                        if (!read_word(w, stack[n - 1], &stack[n - 1]))
                                return false;
                } else if (op == 0x08) {
                        stack[n++] = *p++;
                } else if (op == 0x09) {
                        stack[n++] = (uint64_t)(int8_t)*p++;
                } else if (op == 0x0a) {
                        stack[n++] = read_bytes(&p, 2);
                } else if (op == 0x0b) {
                        stack[n++] = (uint64_t)(int16_t)read_bytes(&p, 2);
                } else if (op == 0x0c) {
                        stack[n++] = read_bytes(&p, 4);
                } else if (op == 0x10) {
                        stack[n++] = read_uleb(&p);
                } else if (op == 0x11) {
                        stack[n++] = (uint64_t)read_sleb(&p);
                } else if (op == 0x12 && n) {
                        stack[n] = stack[n - 1];
                        n++;
                } else if (op == 0x23 && n) {
                        stack[n - 1] += read_uleb(&p);
                } else if (n >= 2) {
                        uint64_t b = stack[--n], *a = &stack[n - 1];

                        switch (op) {
                        case 0x1a:
                                *a &= b;
                                break;
                        case 0x1c:
                                *a -= b;
                                break;
                        case 0x1e:
                                *a *= b;
                                break;
                        case 0x21:
                                *a |= b;
                                break;
                        case 0x22:
                                *a += b;
                                break;
                        case 0x24:
                                *a <<= b & 63;
                                break;
                        case 0x25:
                                *a >>= b & 63;
                                break;
                        case 0x2a:
                                *a = (int64_t)*a >= (int64_t)b;
                                break;
                        default:
                                return false;
                        }
                } else {
                        return false;
                }
        }
        if (!n)
                return false;
        *ret = stack[n - 1];
        return true;
}

/* ---- rules ---- */

enum how { SAME, UNDEFINED, AT_OFFSET, IS_OFFSET, IN_REGISTER, AT_EXPRESSION, IS_EXPRESSION };

struct rule {
        enum how       how;
        int64_t        value;           /* offset from the CFA, or a register */
        const uint8_t *expr, *expr_end;
};

struct row {
        struct rule    reg[ARCH_REGS];
        unsigned       cfa_reg;
        int64_t        cfa_offset;
        const uint8_t *cfa_expr, *cfa_expr_end;         /* NULL: register plus offset */
};

struct machine {
        struct row row, initial, saved[8];
        unsigned   nsaved;
};

static void set_rule(struct row *row, uint64_t reg, enum how how, int64_t value)
{
        if (reg < ARCH_REGS)
                row->reg[reg] = (struct rule){ .how = how, .value = value };
}

static void set_expr(struct row *row, uint64_t reg, enum how how, const uint8_t **p)
{
        uint64_t n = read_uleb(p);

        if (reg < ARCH_REGS)
                row->reg[reg] = (struct rule){ .how = how, .expr = *p, .expr_end = *p + n };
        *p += n;
}

/* Runs instructions until the row for pc stands. */
static bool run(struct machine *m, const struct cfi *c, const uint8_t *p, const uint8_t *end,
                uintptr_t pc)
{
        struct row *row = &m->row;
        uintptr_t   at = c->low;

        while (p < end && at <= pc) {
                uint8_t  op = *p++;
                uint64_t reg = op & 0x3f;

                switch (op & 0xc0) {
                case 0x40:                                              /* advance_loc */
                        at += reg * c->code_align;
                        continue;
                case 0x80:                                              /* offset */
                        set_rule(row, reg, AT_OFFSET, (int64_t)read_uleb(&p) * c->data_align);
                        continue;
                case 0xc0:                                              /* restore */
                        if (reg < ARCH_REGS)
                                row->reg[reg] = m->initial.reg[reg];
                        continue;
                default:
                        break;
                }
                switch (op) {
                case 0x00:                                              /* nop */
                        break;
                case 0x01:                                              /* set_loc */
                        at = read_bytes(&p, 8);
                        break;
                case 0x02:
                        at += read_bytes(&p, 1) * c->code_align;
                        break;
                case 0x03:
                        at += read_bytes(&p, 2) * c->code_align;
                        break;
                case 0x04:
                        at += read_bytes(&p, 4) * c->code_align;
                        break;
                case 0x05:                                              /* offset_extended */
                        reg = read_uleb(&p);
                        set_rule(row, reg, AT_OFFSET, (int64_t)read_uleb(&p) * c->data_align);
                        break;
                case 0x06:                                              /* restore_extended */
                        reg = read_uleb(&p);
                        if (reg < ARCH_REGS)
                                row->reg[reg] = m->initial.reg[reg];
                        break;
                case 0x07:
                        set_rule(row, read_uleb(&p), UNDEFINED, 0);
                        break;
                case 0x08:
                        set_rule(row, read_uleb(&p), SAME, 0);
                        break;
                case 0x09:                                              /* register */
                        reg = read_uleb(&p);
                        set_rule(row, reg, IN_REGISTER, (int64_t)read_uleb(&p));
                        break;
                case 0x0a:                                              /* remember_state */
                        if (m->nsaved == COUNT(m->saved))
                                return false;
                        m->saved[m->nsaved++] = *row;
                        break;
                case 0x0b:                                              /* restore_state */
                        if (!m->nsaved)
                                return false;
                        *row = m->saved[--m->nsaved];
                        break;
                case 0x0c:                                              /* def_cfa */
                        row->cfa_reg = (unsigned)read_uleb(&p);
                        row->cfa_offset = (int64_t)read_uleb(&p);
                        row->cfa_expr = NULL;
                        break;
                case 0x0d:                                              /* def_cfa_register */
                        row->cfa_reg = (unsigned)read_uleb(&p);
                        row->cfa_expr = NULL;
                        break;
                case 0x0e:                                              /* def_cfa_offset */
                        row->cfa_offset = (int64_t)read_uleb(&p);
                        break;
                case 0x0f: {                                            /* def_cfa_expression */
                        uint64_t n = read_uleb(&p);

                        row->cfa_expr = p;
                        row->cfa_expr_end = p += n;
                        break;
                }
                case 0x10:                                              /* expression */
                        reg = read_uleb(&p);
                        set_expr(row, reg, AT_EXPRESSION, &p);
                        break;
                case 0x11:                                              /* offset_extended_sf */
                        reg = read_uleb(&p);
                        set_rule(row, reg, AT_OFFSET, read_sleb(&p) * c->data_align);
                        break;
                case 0x12:                                              /* def_cfa_sf */
                        row->cfa_reg = (unsigned)read_uleb(&p);
                        row->cfa_offset = read_sleb(&p) * c->data_align;
                        row->cfa_expr = NULL;
                        break;
                case 0x13:                                              /* def_cfa_offset_sf */
                        row->cfa_offset = read_sleb(&p) * c->data_align;
                        break;
                case 0x14:                                              /* val_offset */
                        reg = read_uleb(&p);
                        set_rule(row, reg, IS_OFFSET, (int64_t)read_uleb(&p) * c->data_align);
                        break;
                case 0x16:                                              /* val_expression */
                        reg = read_uleb(&p);
                        set_expr(row, reg, IS_EXPRESSION, &p);
                        break;
                case 0x2e:                                              /* GNU_args_size */
                        (void)read_uleb(&p);
                        break;
                default:
                        return false;
                }
        }
        return true;
}

static bool apply(struct walk *w, const struct rule *rule, unsigned reg, uint64_t cfa,
                  uint64_t *ret)
{
        uint64_t stack[16] = { cfa };

        switch (rule->how) {
        case SAME:
                *ret = reg == ARCH_SP ? cfa : w->regs.r[reg];
                return true;
        case UNDEFINED:
                *ret = 0;
                return true;
        case AT_OFFSET:
                return read_word(w, cfa + (uint64_t)rule->value, ret);
        case IS_OFFSET:
                *ret = cfa + (uint64_t)rule->value;
                return true;
        case IN_REGISTER:
                *ret = rule->value < ARCH_REGS ? w->regs.r[rule->value] : 0;
                return true;
        case IS_EXPRESSION:
                return evaluate(w, rule->expr, rule->expr_end, stack, 1, ret);
        case AT_EXPRESSION:
                return evaluate(w, rule->expr, rule->expr_end, stack, 1, ret) &&
                       read_word(w, *ret, ret);
        }
        return false;
}

bool weir__arch_walk_next(struct walk *w)
{
        uintptr_t      pc = (uintptr_t)weir__arch_walk_pc(w);
        struct machine m = { 0 };
        struct regs    up;
        struct cfi     c;
        uint64_t       cfa, stack[16];

        if (!pc || !find_fde(pc, &c) || c.ra >= ARCH_REGS)
                return false;
        if (!run(&m, &c, c.init, c.init_end, UINTPTR_MAX))
                return false;
        m.initial = m.row;
        if (!run(&m, &c, c.code, c.code_end, pc) || m.row.reg[c.ra].how == UNDEFINED)
                return false;
        if (m.row.cfa_expr) {
                if (!evaluate(w, m.row.cfa_expr, m.row.cfa_expr_end, stack, 0, &cfa))
                        return false;
        } else if (m.row.cfa_reg < ARCH_REGS) {
                cfa = w->regs.r[m.row.cfa_reg] + (uint64_t)m.row.cfa_offset;
        } else {
                return false;
        }
        for (unsigned i = 0; i < ARCH_REGS; i++)
                if (!apply(w, &m.row.reg[i], i, cfa, &up.r[i]))
                        return false;
        if (c.ra != ARCH_PC)
                up.r[ARCH_PC] = up.r[c.ra];
        if (up.r[ARCH_PC] == w->regs.r[ARCH_PC] && up.r[ARCH_SP] == w->regs.r[ARCH_SP])
                return false;
        w->regs = up;
        w->after_call = !c.signal_frame;
        return up.r[ARCH_PC] != 0;
}
