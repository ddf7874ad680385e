/* weir/metric.h: what the runtime counts about itself.
 *
 * Every mechanism of weir has counters; here they are read, in the text format that Prometheus
 * scrapes. Reading them stops nobody.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_metric_write(stdout);
 *                 return 0;
 *         }
 */
#ifndef WEIR_METRIC_H
#define WEIR_METRIC_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

/* Writes every counter to out with name, help and type, as Prometheus text.
 *
 * The numbers are each right at some moment of the call, but not all of one moment. The stream's
 * own error indicator tells whether writing went well.
 *
 * Blocks: while out does.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void weir_metric_write(FILE *out);

WEIR_DECLS_END

#endif
