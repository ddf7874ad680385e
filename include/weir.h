/* The whole of weir: nothing but includes. */
#ifndef WEIR_H
#define WEIR_H

#include <weir/base.h>
#include <weir/version.h>
#include <weir/error.h>
#include <weir/time.h>
#include <weir/ctx.h>
#include <weir/run.h>
#include <weir/go.h>
#include <weir/chan.h>
#include <weir/sync.h>
#include <weir/group.h>
#include <weir/cpu.h>
#include <weir/mem.h>
#include <weir/gc.h>
#include <weir/bytes.h>
#include <weir/pool.h>
#include <weir/box.h>
#include <weir/slice.h>
#include <weir/map.h>
#include <weir/cmap.h>
#include <weir/limiter.h>
#include <weir/net.h>
#include <weir/metric.h>
#include <weir/trace.h>

#endif
