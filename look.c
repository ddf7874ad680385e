#define _GNU_SOURCE
#include <weir.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
WEIR_MAP_PLAIN(words, uint64_t, uint64_t, weir_hash_word, weir_equal_word);
static uint64_t key_of(uint64_t i){ i *= UINT64_C(0x9e3779b97f4a7c15); return i ^ i >> 32; }
static double cpu(void){ struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID,&t); return t.tv_sec*1e9+t.tv_nsec; }
static void huge(void){ char b[4096]; FILE*f=fopen("/proc/self/smaps_rollup","r"); while(fgets(b,sizeof b,f)) if(strstr(b,"AnonHuge")||strstr(b,"Rss")) {b[strcspn(b,"\n")]=0;printf("%s ",b);} fclose(f);}
WEIR_MAIN(argc,argv){
  size_t N=argc>1?atol(argv[1]):10000000; double t=cpu(); words*m=words_new(0);
  for(uint64_t i=0;i<N;i++) words_put(m,key_of(i),i);
  printf("insert %.1f ",(cpu()-t)/N);
  for(int r=0;r<(argc>2?atoi(argv[2]):3);r++){ uint64_t s=0; huge(); t=cpu(); for(uint64_t i=0;i<N;i++) s+=*words_get(m,key_of(i)); double h=cpu()-t;
   t=cpu(); for(uint64_t i=0;i<N;i++) s+=words_get(m,key_of(i+N))!=NULL; double mi=cpu()-t;
   static uint64_t k[512],*at[512]; t=cpu(); for(uint64_t i=0;i+512<=N;i+=512){ for(int j=0;j<512;j++)k[j]=key_of(i+j); words_get_many(m,k,512,at); for(int j=0;j<512;j++) s+=*at[j];} double b=cpu()-t;
   static void *av[512]; t=cpu(); for(uint64_t i=0;i+512<=N;i+=512){ for(int j=0;j<512;j++)k[j]=key_of(i+j); weir_map_at_many(words_map(m),k,512,av); for(int j=0;j<512;j++) s+=*(uint64_t*)av[j];} double c=cpu()-t;
   printf("hit %.1f miss %.1f many %.1f ways %.1f (%d)\n",h/N,mi/N,b/N,c/N,(int)(s&1)); usleep(1500000); }
  return 0; }
