/* weir/version.h: which weir a program is compiled against.
 *
 * WEIR_VERSION is one number that grows with every release, so that the preprocessor can compare
 * it. Before 1.0 a change of the minor number may break programs; the soname then changes with it.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         #if WEIR_VERSION < 100
 *         #error "this program needs weir 0.1"
 *         #endif
 *
 *         int main(void)
 *         {
 *                 printf("compiled against weir %s\n", WEIR_VERSION_STRING);
 *                 return 0;
 *         }
 */
#ifndef WEIR_VERSION_H
#define WEIR_VERSION_H

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

/* 100 is 0.1.0, 10203 is 1.2.3. */
#define WEIR_VERSION (WEIR_VERSION_MAJOR * 10000 + WEIR_VERSION_MINOR * 100 + WEIR_VERSION_PATCH)

#define WEIR_VERSION_STRING \
        WEIR_VERSION_TEXT_(WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR, WEIR_VERSION_PATCH)
#define WEIR_VERSION_TEXT_(major, minor, patch)  WEIR_VERSION_TEXT__(major, minor, patch)
#define WEIR_VERSION_TEXT__(major, minor, patch) #major "." #minor "." #patch

#endif
